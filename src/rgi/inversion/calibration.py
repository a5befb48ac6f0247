"""How well a generator explains clean images: what λ is set from when nobody has labelled a defect."""

from torch import Tensor

from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert

LEVELS = (0.5, 0.9, 0.95, 0.99, 0.995, 0.999)


def clean_residuals(gan: GAN, images: Tensor, config: SolverConfig | None = None) -> dict[str, float]:
    """Quantiles of abs(x - G(z)) over all pixels of clean images (B,C,H,W) after plain least-squares inversion.

    Keyed by the level as text, in image units, as `rgi.generators.store.Card.residuals` holds them. The images must
    be ones that the generator was not trained on. ``config`` says how z is optimised, as in the inversions to come.
    """
    plain = (config or SolverConfig()).replace(mask="none", tune_generator=False)
    found = invert(gan, images, plain)
    residuals = (found.observed - found.restored).abs().flatten().double().cpu()
    quantiles = _quantiles(residuals)
    return {str(level): float(value) for level, value in zip(LEVELS, quantiles, strict=True)}


def _quantiles(values: Tensor) -> Tensor:
    """As `torch.quantile`, which refuses more than 16 million values."""
    ordered = values.sort().values
    return ordered[[round(level * (len(ordered) - 1)) for level in LEVELS]]
