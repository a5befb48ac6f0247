"""From residuals or masks to pixel scores, the same for every method, so that their maps compare."""

import torch
from scipy import ndimage
from torch import Tensor

LUMINANCE = (0.2989, 0.5870, 0.1140)  # of red, green and blue


def luminance(values: Tensor) -> Tensor:
    """(B,C,H,W) -> (B,H,W): the sum of the channels' absolute values; three channels weigh as `LUMINANCE` does."""
    channels = values.shape[1]
    weights = values.new_tensor(LUMINANCE if channels == 3 else (1.0,) * channels)
    return torch.einsum("bchw,c->bhw", values.abs(), weights)


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Maps (B,H,W) under a Gaussian whose standard deviation is ``sigma`` pixels; 0 leaves them as they are."""
    if not sigma:
        return maps
    return torch.from_numpy(ndimage.gaussian_filter(maps.cpu().numpy(), (0, sigma, sigma))).to(maps.device)
