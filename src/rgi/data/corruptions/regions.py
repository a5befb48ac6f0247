"""Random regions of an image that are to be corrupted."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


def regions(fractions: Tensor, resolution: int, correlation_length: float, generator: torch.Generator) -> Tensor:
    """Random masks (B,1,H,W) in {0,1} that cover exactly a fraction of the pixels each (to the nearest pixel).

    A mask contains the pixels of a smooth random field above a quantile.

    Args:
        fractions: (B,) in [0, 1].
        resolution: H = W.
        correlation_length: in pixels.
        generator: on the CPU; the only source of randomness.
    """
    count = len(fractions)
    coarse = max(2, round(resolution / max(correlation_length, 1)) + 1)
    field = torch.randn(count, 1, coarse, coarse, generator=generator)
    if coarse < resolution:
        field = interpolate(field, size=resolution, mode="bicubic", align_corners=True)
        field = avg_pool2d(field, 3, stride=1, padding=1)  # takes the corners off
    else:
        field = torch.randn(count, 1, resolution, resolution, generator=generator)
    ranks = field.flatten(1).argsort(1).argsort(1)
    wrong = ranks >= resolution**2 - (fractions[:, None] * resolution**2).round()
    return wrong.float().unflatten(1, (1, resolution, resolution))
