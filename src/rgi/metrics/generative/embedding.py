"""Features of images, for the metrics that compare features."""

from collections.abc import Callable

import torch
from torch import Tensor

from rgi.errors import InputError

Features = Callable[[Tensor], Tensor]
"""A network in evaluation mode: images (N,C,H,W) in [-1,1] to features (N,F)."""


def embed(images: Tensor, features: Features, batch: int = 16) -> Tensor:
    """Features (N,F) float32 of images, without gradients.

    Args:
        images: (N,C,H,W) in [-1,1].
        features: network in evaluation mode, (N,C,H,W) to (N,F).
        batch: number of images per forward pass.

    Raises:
        InputError: the output of the network is not (N,F).
    """
    with torch.no_grad():
        embedded = torch.cat([features(part) for part in images.split(batch)]).float()
    if embedded.shape[:1] != images.shape[:1] or embedded.ndim != 2:
        raise InputError(
            f"features {tuple(embedded.shape)}: the network must map (N,C,H,W) to (N,F); flatten its output"
        )
    return embedded


def standardise(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise both sets of features by mean and standard deviation of the real features.

    A feature that is constant over the real images is centred but not scaled.

    Args:
        real: features of real images (N,F).
        fake: features of generated images (M,F).

    Returns:
        Standardised features (N,F) and (M,F) float32.
    """
    deviation, mean = torch.std_mean(real.float(), 0, correction=0)
    deviation = deviation.where(deviation > 1e-6 * mean.abs(), 1)
    return (real.float() - mean) / deviation, (fake.float() - mean) / deviation
