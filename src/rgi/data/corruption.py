"""Gross corruptions: a part of the pixels is replaced by something that has nothing to do with the image."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

FILLS = ("noise", "constant", "image")


def regions(fractions: Tensor, resolution: int, grain: float, generator: torch.Generator) -> Tensor:
    """Random masks (B,1,H,W) in {0,1} that cover exactly a fraction of the pixels each (to the nearest pixel).

    The pixels above a quantile of a smooth random field: ``grain`` is the field's correlation length in pixels, below 1
    for single pixels, larger for fewer and larger blobs.

    Args:
        fractions: (B,) in [0, 1].
        resolution: H = W.
        grain: in pixels.
        generator: on the CPU; the only source of randomness.
    """
    count = len(fractions)
    coarse = max(2, round(resolution / max(grain, 1)) + 1)
    field = torch.randn(count, 1, coarse, coarse, generator=generator)
    if coarse < resolution:
        field = interpolate(field, size=resolution, mode="bicubic", align_corners=True)
        field = avg_pool2d(field, 3, stride=1, padding=1)  # takes the corners off
    else:
        field = torch.randn(count, 1, resolution, resolution, generator=generator)
    ranks = field.flatten(1).argsort(1).argsort(1)
    wrong = ranks >= resolution**2 - (fractions[:, None] * resolution**2).round()
    return wrong.float().unflatten(1, (1, resolution, resolution))


def fill(images: Tensor, masks: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Images (B,C,H,W) with what lies under the masks replaced; values may leave [-1, 1].

    Args:
        kind: ``noise``, N(0,1) for every scalar; ``constant``, one value of U(-1,1) for each image and channel;
            ``image``, the pixels of the batch's next image, mirrored.
    """
    if kind == "noise":
        other = torch.randn(images.shape, generator=generator)
    elif kind == "constant":
        other = (torch.rand(*images.shape[:2], 1, 1, generator=generator) * 2 - 1).expand_as(images)
    elif kind == "image":
        other = images.roll(1, 0).flip(-1)
    else:
        raise ValueError(f"kind={kind!r}: one of {', '.join(FILLS)}")
    return torch.where(masks.to(images.device).bool(), other.to(images), images)
