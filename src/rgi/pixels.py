"""Residuals and masks to pixel scores. All methods share these functions, so their anomaly maps are comparable."""

import torch
from scipy import ndimage
from torch import Tensor

LUMINANCE = (0.2989, 0.5870, 0.1140)  # weights of red, green and blue (ITU-R BT.601)


def luminance(values: Tensor) -> Tensor:
    """Weighted sum of the absolute values of all channels.

    Three channels have the weights `LUMINANCE`. Any other number of channels has weight 1 for each channel.

    Args:
        values: residuals or masks (B,C,H,W).

    Returns:
        Pixel scores (B,H,W) >= 0.
    """
    channels = values.shape[1]
    weights = values.new_tensor(LUMINANCE if channels == 3 else (1.0,) * channels)
    return torch.einsum("bchw,c->bhw", values.abs(), weights)


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Smooth each map with a Gaussian filter.

    Args:
        maps: anomaly maps (B,H,W).
        sigma: standard deviation of the Gaussian in pixels; 0 returns ``maps`` unchanged.

    Returns:
        Smoothed maps (B,H,W) on the same device.
    """
    if not sigma:
        return maps
    return torch.from_numpy(ndimage.gaussian_filter(maps.cpu().numpy(), (0, sigma, sigma))).to(maps.device)
