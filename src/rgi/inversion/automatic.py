"""What ``auto`` stands for: λ, its factors by position, and the weight of |z|², from the residuals of clean images."""

import math
from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from rgi.errors import InputError
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.objective import penalty_from_threshold

PRIOR_QUANTILE = "0.9"  # of the residuals of clean images, from which their spread is estimated
CORRELATED_PIXELS = 10  # residuals of neighbours are alike: so many pixels count as one; experiments/generators


def penalty(config: SolverConfig, gan: GAN) -> float:
    """λ: the number ``mask_penalty``, or, for ``auto``, the value from the card's residuals on clean images.

    Where `penalty_factors` exist, this is λ at a position with scale 1.

    Args:
        config: solver with ``mask_penalty``, ``clean_quantile`` and ``data_term``.
        gan: GAN with a card.

    Raises:
        InputError: ``mask_penalty`` is ``auto``, and the card has no residuals or not the required quantile.
    """
    if config.mask_penalty != "auto":
        return float(config.mask_penalty)
    residuals = _clean_residuals(config, gan, "mask_penalty")
    if str(config.clean_quantile) not in residuals:
        raise InputError(
            f"solver.clean_quantile={config.clean_quantile}: the generator's card holds {', '.join(residuals)}; name "
            "one of these"
        )
    return penalty_from_threshold(residuals[str(config.clean_quantile)], config.data_term)


def strong_penalty(config: SolverConfig, gan: GAN) -> float | None:
    """λ whose mask has the strong residuals of `SolverConfig.mask_hold`; None if θ learns from all that is not masked.

    Args:
        config: solver with ``mask_hold`` and ``hold_quantile``.
        gan: GAN with a card.

    Raises:
        InputError: ``mask_penalty`` is ``auto``, and the card does not have this quantile.
    """
    if not config.holds_mask(config.tune_from):
        return None
    if config.mask_penalty == "auto" and str(config.hold_quantile) not in gan.card.residuals:
        raise InputError(
            f"solver.hold_quantile={config.hold_quantile}: the generator's card holds no such residual, only "
            f"{', '.join(gan.card.residuals) or 'none'}; name one of these, measure them with `python run.py "
            "task=calibrate dataset=... generator.path=...`, or set solver.mask_hold=null"
        )
    return penalty(config.replace(clean_quantile=config.hold_quantile), gan)


def penalty_factors(config: SolverConfig, gan: GAN) -> Tensor | None:
    """The factors on `penalty` at all positions, (1,1,H,W); None if λ is the same everywhere.

    With ``auto`` masking begins at the clean quantile times the card's scale at this position.

    Args:
        config: solver with ``mask_penalty`` and ``data_term``.
        gan: GAN with a card.
    """
    if config.mask_penalty != "auto" or not gan.card.residual_scale:
        return None
    scale = at_positions(gan.card.residual_scale, gan.card.resolution)
    return scale.square() if config.data_term == "l2" else scale


def at_positions(scale: list[list[float]], side: int) -> Tensor:
    """Bilinear interpolation of a card's ``residual_scale`` to all positions (1,1,side,side), float64."""
    grid = torch.tensor(scale, dtype=torch.float64)[None, None]
    return interpolate(grid, (side, side), mode="bilinear", align_corners=False)


def latent_weight(config: SolverConfig, gan: GAN) -> float:
    """The weight of |z|²: the number ``latent_weight``, or, for a word, the value from the card's residuals.

    If residuals are independent and z ~ N(0,1), the most probable z minimises r² + σ² |z|² for normal residuals of
    deviation σ, and |r| + b/2 |z|² for Laplacian ones of mean b. The residuals of neighbours are not independent, so
    the weight is `CORRELATED_PIXELS` times as large. σ and b are those whose 0.9 quantile is that of clean images.

    That is the weight for ``auto``, with which a hole is restored best. A defect may be an image that the generator can
    draw, although with an unusual z. For ``defects`` the weight is multiplied with the card's ``defect_prior``.

    Args:
        config: solver with ``latent_weight`` and ``data_term``.
        gan: GAN with a card.

    Raises:
        InputError: ``latent_weight`` is a word, and the card has no residuals or not the 0.9 quantile.
    """
    if not isinstance(config.latent_weight, str):
        return float(config.latent_weight)
    residuals = _clean_residuals(config, gan, "latent_weight")
    if PRIOR_QUANTILE not in residuals:
        raise InputError(
            f"solver.latent_weight={config.latent_weight}: the generator's card holds no residual at {PRIOR_QUANTILE}; "
            "measure them with `python run.py task=calibrate dataset=... generator.path=...`, or set a number"
        )
    level, share = residuals[PRIOR_QUANTILE], 1 - float(PRIOR_QUANTILE)
    factor = CORRELATED_PIXELS * (gan.card.defect_prior if config.latent_weight == "defects" else 1)
    if config.data_term == "l2":
        return factor * (level / NormalDist().inv_cdf(1 - share / 2)) ** 2
    return factor * level / math.log(1 / share) / 2


def _clean_residuals(config: SolverConfig, gan: GAN, option: str) -> dict[str, float]:
    if not gan.card.residuals:
        raise InputError(
            f"solver.{option}={getattr(config, option)}: the generator's card holds no residuals of clean images; "
            "measure them with `python run.py task=calibrate dataset=... generator.path=...`, or set a number"
        )
    return gan.card.residuals
