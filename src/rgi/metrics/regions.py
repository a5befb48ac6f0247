"""Connected regions of a mask, for the per-region overlap."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

# Diagonal neighbours are connected, as in MVTec's evaluation code (scipy.ndimage.label with a 3x3 square of ones).
# Pixels of different images in a batch are not connected.
NEIGHBOURS = np.zeros((3, 3, 3), dtype=bool)
NEIGHBOURS[1] = True


def region_weights(mask: Tensor) -> Tensor:
    """Weight of each pixel in the per-region overlap: (B,H,W) float64.

    A defect pixel has the weight 1 / (number of pixels in its 8-connected region). The weights of each region therefore
    sum to one. Normal pixels have weight 0.

    Args:
        mask: true mask (B,1,H,W); non-zero = defect.
    """
    labels, _ = ndimage.label(mask[:, 0].cpu().numpy() != 0, NEIGHBOURS)
    pixels = np.bincount(labels.ravel(), minlength=1)
    weights = 1 / np.maximum(pixels, 1)
    weights[0] = 0  # background
    return torch.from_numpy(weights[labels]).to(mask.device)
