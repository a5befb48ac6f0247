"""Connected regions of a mask, as the per-region overlap counts them."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

# Diagonal neighbours touch, as in MVTec's evaluation code (scipy.ndimage.label with a 3x3 square of ones); images of a
# batch do not.
NEIGHBOURS = np.zeros((3, 3, 3), dtype=bool)
NEIGHBOURS[1] = True


def region_weights(mask: Tensor) -> Tensor:
    """1 / (pixels of the 8-connected region it is in) at each pixel of the mask, 0 elsewhere: (B,H,W) float64.

    The weights of a region add up to one, whatever its size.

    Args:
        mask: (B,1,H,W), non-zero = defect.
    """
    labels, _ = ndimage.label(mask[:, 0].cpu().numpy() != 0, NEIGHBOURS)
    pixels = np.bincount(labels.ravel(), minlength=1)
    weights = 1 / np.maximum(pixels, 1)
    weights[0] = 0  # the background is no region
    return torch.from_numpy(weights[labels]).to(mask.device)
