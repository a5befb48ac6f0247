"""What clean images tell without labelled defects: residuals, from which λ follows, and how strong a prior on z is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from rgi.data.corruptions.defects import paint_images
from rgi.evaluation.calibration import Calibration
from rgi.evaluation.clean_images import MIN_PAINTED, PAINTED
from rgi.generators.store import GAN, Card
from rgi.inversion.automatic import at_positions
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert
from rgi.metrics.curves import auroc, levels

CALIBRATION_IMAGES = 64  # enough images for the residuals on a card
LEVELS = (0.5, 0.9, 0.95, 0.99, 0.995, 0.999)  # of the quantiles
CELLS = 16  # height and width of the grid of a scale
LEAST_SCALE = 0.1  # of a cell; else all of a position that is always black would be masked
# The method of both trials: RGI of the experiments for defects. Compared in experiments/optimiser.
TRIAL = {"mask": "profiled", "mask_penalty": "auto", "clean_quantile": 0.99, "tune_generator": False}
LEAST_GAIN = 0.015  # of the pixel AUROC
PRIORS = (1.0, 4.0, 16.0, 64.0)  # factors on the weight of |z|². Compared in experiments/optimiser.


class CleanResiduals(NamedTuple):
    """What a generator's card says about clean images.

    Attributes:
        residuals: see `rgi.generators.store.Card`.
        residual_scale: see `rgi.generators.store.Card`.
        defect_prior: see `rgi.generators.store.Card`.
    """

    residuals: dict[str, float]
    residual_scale: list[list[float]]
    defect_prior: float = 1.0

    @classmethod
    def of(cls, holder: Card | Calibration) -> "CleanResiduals":
        """What a card or a calibration says."""
        return cls(*(getattr(holder, name) for name in cls._fields))


def clean_residuals(
    gan: GAN,
    images: Tensor,
    config: SolverConfig | None = None,
    on_step: Callable[[int], object] | None = None,
    counted: Tensor | None = None,
) -> CleanResiduals:
    """Quantiles of abs(x - G(z)) over all scalars of clean images, after least-squares inversion without a mask.

    The generator may explain some positions of aligned images much better than others. The residuals are then divided
    by a scale for each position, if this gives better masks. The trial paints defects on one half of the images, and
    inverts them with and without the scale of the other half. Both halves must gain.

    The generator may also explain defects. A second trial inverts painted images with one of `PRIORS` after the other
    as factor on the weight of |z|², as long as the residual shows the defects better each time.

    Args:
        gan: GAN of the later inversions.
        images: clean images (B,C,H,W) that are not training images of the GAN.
        config: optimisation of z, as in the later inversions; None means the default. For the quantiles, the mask, the
            tuning of the generator and the term |z|² are switched off. The trials set these options themselves.
        on_step: see `rgi.inversion.solver.invert`; it counts the steps of `inverted_images`.
        counted: pixels that count (1,H,W) in {0,1}; None for all.
    """
    config = config or SolverConfig()
    plain = config.replace(mask="none", tune_generator=False, latent_weight=0.0)
    inversion = invert(gan, images, plain, on_step=on_step)
    residuals = (inversion.observed - inversion.restored).abs().cpu().double()
    inside = torch.ones(residuals.shape[-2:], dtype=torch.bool) if counted is None else counted[0] != 0
    everywhere = CleanResiduals(_quantiles(residuals, inside), [])
    if len(images) < MIN_PAINTED:
        return everywhere

    def score(measured: CleanResiduals, painted: tuple[Tensor, Tensor], kind: str, **options: Any) -> float:
        """Pixel AUROC of one kind of map of painted images."""
        observed, truth = painted
        trial = replace(gan, card=replace(gan.card, **measured._asdict()))
        found = invert(trial, observed, config.replace(**TRIAL, **options), on_step=on_step)
        shown = found.anomaly_map(kind, sigma=1).cpu()
        return auroc(*levels(shown[:, inside], truth[:, 0, inside])[1:]).item()

    def gain(learned: slice, tested: slice) -> float:
        """What the scale of some images gains on the others."""
        painted = paint_images(images[tested].cpu(), PAINTED.contrast)
        scaled, even = (scaled_residuals(residuals[learned], inside, cells) for cells in (CELLS, 1))
        return score(scaled, painted, "mask") - score(even, painted, "mask")

    first, second = slice(0, len(images) // 2), slice(len(images) // 2, None)
    wins = all(gain(*halves) > LEAST_GAIN for halves in ((first, second), (second, first)))
    measured = scaled_residuals(residuals, inside) if wins else everywhere
    best, painted = 0.0, paint_images(images.cpu(), PAINTED.contrast)
    for prior in PRIORS:
        stronger = measured._replace(defect_prior=prior)
        reached = score(stronger, painted, "residual", latent_weight="defects")
        if not reached > best:  # NaN if no painted pixel counts
            break
        measured, best = stronger, reached
    return measured


def inverted_images(count: int) -> int:
    """The highest number of inversions for this number of clean images, those of the two trials included."""
    return count if count < MIN_PAINTED else (3 + len(PRIORS)) * count


def scaled_residuals(residuals: Tensor, inside: Tensor, cells: int = CELLS) -> CleanResiduals:
    """Quantiles of residuals after the division by a scale, and this scale.

    The scale of a cell is the root mean square of its residuals, divided by the mean over all cells. Cells without
    pixels that count have scale 1.

    Args:
        residuals: abs(x - G(z)) of clean images (N,C,H,W), float64.
        inside: pixels that count (H,W), bool.
        cells: height and width of the grid; the scale of a single cell is 1.
    """
    pixels = inside.to(residuals)[None, None]
    squares, area = (adaptive_avg_pool2d(each, cells) for each in (residuals.square().mean((0, 1)) * pixels, pixels))
    known = area > 0
    scale = torch.where(known, squares / area, torch.nan).sqrt()
    scale = scale / scale[known].mean().clamp(min=torch.finfo(scale.dtype).tiny)
    scale = torch.where(known, scale, 1.0).clamp(min=LEAST_SCALE)[0, 0]
    grid = [[round(value, 3) for value in row] for row in scale.tolist()]
    return CleanResiduals(_quantiles(residuals / at_positions(grid, residuals.shape[-1]), inside), grid)


def _quantiles(residuals: Tensor, inside: Tensor) -> dict[str, float]:
    """Quantiles `LEVELS` by level; `torch.quantile` does not support more than 16 million values."""
    ordered = residuals[:, :, inside].flatten().sort().values
    return {str(level): float(ordered[round(level * (len(ordered) - 1))]) for level in LEVELS}
