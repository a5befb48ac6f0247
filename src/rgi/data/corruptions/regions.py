"""Random regions of corrupted pixels."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


def regions(fractions: Tensor, resolution: int, correlation_length: float, generator: torch.Generator) -> Tensor:
    """Random masks (B,1,H,W) in {0,1}, 1 = corrupted; each mask covers a given fraction of the pixels exactly.

    A mask contains the pixels of a smooth random field above a quantile.

    Args:
        fractions: share of the pixels that each mask covers, (B,) in [0, 1]; exact to the nearest pixel.
        resolution: height and width of the masks in pixels.
        correlation_length: correlation length of the random field in pixels. A larger length gives fewer and larger
            blobs, and a length below 1 gives single pixels.
        generator: source of all random numbers, on the CPU.
    """
    count = len(fractions)
    coarse = max(2, round(resolution / max(correlation_length, 1)) + 1)
    field = torch.randn(count, 1, coarse, coarse, generator=generator)
    if coarse < resolution:
        field = interpolate(field, size=resolution, mode="bicubic", align_corners=True)
        field = avg_pool2d(field, 3, stride=1, padding=1)  # rounds corners
    else:
        field = torch.randn(count, 1, resolution, resolution, generator=generator)
    ranks = field.flatten(1).argsort(1).argsort(1)
    wrong = ranks >= resolution**2 - (fractions[:, None] * resolution**2).round()
    return wrong.float().unflatten(1, (1, resolution, resolution))
