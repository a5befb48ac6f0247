"""Residuals of clean images, from which λ is set without labelled defects."""

from collections.abc import Callable

from torch import Tensor

from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert

CALIBRATION_IMAGES = 64  # enough images for the residuals on a card
LEVELS = (0.5, 0.9, 0.95, 0.99, 0.995, 0.999)  # of the quantiles


def clean_residuals(
    gan: GAN,
    images: Tensor,
    config: SolverConfig | None = None,
    on_step: Callable[[int], object] | None = None,
    counted: Tensor | None = None,
) -> dict[str, float]:
    """Quantiles of abs(x - G(z)) over all scalars of clean images, after least-squares inversion without a mask.

    Args:
        gan: GAN of the later inversions.
        images: clean images (B,C,H,W) that are not training images of the GAN.
        config: optimisation of z, as in the later inversions; None means the default. The mask, the tuning
            of the generator and the term |z|² are always switched off.
        on_step: see `rgi.inversion.solver.invert`.
        counted: pixels that count (1,H,W) in {0,1}; None for all.

    Returns:
        Level as text, such as "0.9", to quantile in units of pixel values, as in `rgi.generators.store.Card.residuals`.
    """
    plain = (config or SolverConfig()).replace(mask="none", tune_generator=False, latent_weight=0.0)
    inversion = invert(gan, images, plain, on_step=on_step)
    residuals = (inversion.observed - inversion.restored).abs().cpu().double()
    residuals = residuals.flatten() if counted is None else residuals[:, :, counted[0] != 0].flatten()
    quantiles = _quantiles(residuals)
    return {str(level): float(value) for level, value in zip(LEVELS, quantiles, strict=True)}


def _quantiles(values: Tensor) -> Tensor:
    """Quantiles `LEVELS` of values; `torch.quantile` does not support more than 16 million values."""
    ordered = values.sort().values
    return ordered[[round(level * (len(ordered) - 1)) for level in LEVELS]]
