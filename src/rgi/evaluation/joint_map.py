"""The feature map of a combined anomaly map: the weighted sum of the maps of baselines on features of a network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from rgi.baselines.base import CHUNK, Baseline
from rgi.baselines.features import critic_features
from rgi.baselines.imagenet import imagenet_features
from rgi.baselines.padim import PaDiM
from rgi.baselines.patchcore import PatchCore
from rgi.data.protocol import evenly_spaced, selected
from rgi.errors import InputError
from rgi.generators.store import GAN
from rgi.inversion.maps import CleanStatistics
from rgi.metrics.curves import auroc, levels

FEATURE_IMAGES = 1000  # highest number of images for the fit of a baseline; PaDiM's authors use about 250
# Baselines of the feature map and their weights. PatchCore on a small critic ranks the pixels of objects badly.
FEATURE_PARTS = {"critic": {PaDiM: 1.0}, "imagenet": {PaDiM: 1.0, PatchCore: 2.0}}

# Pixel AUROC of painted defects by which a part must be better. Smaller differences say little: their standard error is
# 0.01 with 64 painted images of grass.
MARGIN = 0.005


def extractor(gan: GAN, features: str) -> nn.Module:
    """The feature extractor of a combined map.

    Args:
        gan: GAN with the critic.
        features: "critic" or "imagenet".

    Raises:
        InputError: the critic has no features, or the extra ``features`` is not installed.
    """
    try:
        return imagenet_features() if features == "imagenet" else critic_features(gan)
    except InputError as error:
        raise InputError(f"map.features={features}: {error}, or set map.kind=normalised") from error


@dataclass(frozen=True)
class JointMap:
    """The weighted sum of the maps of fitted baselines.

    Attributes:
        parts: fitted baselines and their weights.
    """

    parts: list[tuple[Baseline, float]]

    @property
    def name(self) -> str:
        """Names of the baselines."""
        return " and ".join(type(part).__name__ for part, _ in self.parts)

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (B,H,W) of images (B,C,H,W)."""
        return torch.stack([weight * part.predict(images).scores for part, weight in self.parts]).sum(0)


def fitted_images(count: int, excluded: list[int]) -> list[int]:
    """Positions of the clean images for the fits of a joint map: none of those that are excluded."""
    rest = sorted(set(range(count)) - set(excluded))
    return [rest[i] for i in evenly_spaced(len(rest), FEATURE_IMAGES)]


def joint_map(
    features: nn.Module,
    parts: dict[type[Baseline], float],
    clean: Dataset,
    held_out: list[int],
    seed: int,
    device: torch.device,
    counted: Tensor | None = None,
) -> JointMap:
    """The weighted sum of the maps of baselines, each in standard deviations on held-out clean images.

    Args:
        features: feature extractor of all baselines.
        parts: classes of baselines, and their weights; they have the options of conf/baseline.
        clean: dataset of clean images (C,H,W).
        held_out: positions of the clean images for the standard deviations; the fits use other images.
        seed: seed of the baselines.
        device: device of the fits.
        counted: pixels that count (1,H,W) in {0,1}; None for all.
    """
    others = selected(clean, fitted_images(len(clean), held_out))
    measured, part = selected(clean, held_out), slice(None) if counted is None else counted[0] != 0
    measured = torch.stack([measured[i] for i in range(len(measured))]).to(device)
    scaled: list[tuple[Baseline, float]] = []
    for make, weight in parts.items():
        fitted = make(features, seed=seed).fit(others, device)
        spread = float(fitted.predict(measured).scores.cpu()[:, part].std())
        scaled.append((fitted, weight / max(spread, torch.finfo(torch.float32).tiny)))
    return JointMap(scaled)


def best_for_painted(
    clean: CleanStatistics, observed: Tensor, residuals: Tensor, masks: Tensor, sigma: float
) -> tuple[CleanStatistics, dict[str, float]]:
    """The combined map, or one of its feature maps alone if that ranks the pixels of painted defects clearly better.

    Only these few maps compete. Real defects are not like painted ones, so the best of many maps for painted defects
    may be bad for real ones (compared in experiments/anomaly).

    Args:
        clean: statistics with a `JointMap`.
        observed: images with painted defects (B,C,H,W).
        residuals: their residuals (B,H,W) without smoothing.
        masks: the masks of the defects (B,H,W) in {0,1}.
        sigma: standard deviation of the Gaussian smoothing of the maps in pixels.

    Returns:
        The statistics of the chosen map, and the pixel AUROC of each map. The combined map stays if no other has an
        AUROC that is higher by more than `MARGIN`.
    """
    maps = {"combined": clean}
    for part in clean.feature_map.parts:
        alone = JointMap([part])
        maps[alone.name] = CleanStatistics(clean.observed, clean.residuals, alone, clean.counted[None], 0.0)
    scores = {}
    for name, each in maps.items():
        chunks = zip(observed.split(CHUNK), residuals.split(CHUNK), strict=True)
        found = torch.cat([each.combined(*chunk, sigma) for chunk in chunks])[:, clean.counted]
        scores[name] = auroc(*levels(found, masks[:, clean.counted])[1:]).item()
    best = max(scores, key=scores.get)
    return maps[best if scores[best] > scores["combined"] + MARGIN else "combined"], scores
