"""From images to features, for every measure that compares features."""

from collections.abc import Callable

import torch
from torch import Tensor

from rgi.errors import InputError

Features = Callable[[Tensor], Tensor]
"""Any network in evaluation mode: images (N,C,H,W) in [-1,1] to features (N,F)."""


def embed(images: Tensor, features: Features, batch: int = 16) -> Tensor:
    """Features (N,F) float32 of images (N,C,H,W), computed batch by batch and without gradients.

    Raises:
        InputError: a network that gives something else.
    """
    with torch.no_grad():
        embedded = torch.cat([features(part) for part in images.split(batch)]).float()
    if embedded.shape[:1] != images.shape[:1] or embedded.ndim != 2:
        raise InputError(
            f"features {tuple(embedded.shape)}: the network must map (N,C,H,W) to (N,F); flatten its output"
        )
    return embedded


def standardise(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both in units of the reals' deviation from the reals' mean; a feature that is constant there keeps its units."""
    deviation, mean = torch.std_mean(real.float(), 0, correction=0)
    deviation = deviation.where(deviation > 1e-6 * mean.abs(), 1)
    return (real.float() - mean) / deviation, (fake.float() - mean) / deviation
