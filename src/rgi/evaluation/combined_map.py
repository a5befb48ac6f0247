"""The feature maps of a combined anomaly map: the maps of baselines on features of a network, and their weights."""

import contextlib
import math
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
from rgi.pixels import smooth

FEATURE_IMAGES = 1000  # highest number of images for the fit of a baseline; PaDiM's authors use about 250
LEAST_ERROR = 0.01  # lowest 1 - AUROC of a part; few painted images show no smaller one


@dataclass(frozen=True)
class Part:
    """A baseline whose map is a part of a combined map.

    Attributes:
        kind: class of the baseline; it has the options of conf/baseline.
        features: its features, "critic" or "imagenet".
        weight: its weight; that of the residual is 1.
    """

    kind: type[Baseline]
    features: str
    weight: float


# Compared in experiments/anomaly. PatchCore on a small critic ranks the pixels of objects badly.
FEATURE_PARTS = {
    "critic": {"PaDiM": Part(PaDiM, "critic", 1.0)},
    "imagenet": {
        "PaDiM": Part(PaDiM, "imagenet", 0.25),
        "PatchCore": Part(PatchCore, "imagenet", 1.0),
        "PaDiM on the critic": Part(PaDiM, "critic", 0.25),
    },
}


def unfitted_baselines(gan: GAN, features: str, seed: int) -> dict[str, Baseline]:
    """The baselines of a combined map by their names in `FEATURE_PARTS`, not yet fitted.

    With ImageNet features, the part on the critic is left out if the critic has no features, as that of a generator
    that was fitted without a critic.

    Args:
        gan: GAN with the critic.
        features: "critic" or "imagenet".
        seed: seed of the baselines.

    Raises:
        InputError: the critic has no features, or the extra ``features`` is not installed.
    """
    try:
        networks = _networks(gan, features)
    except InputError as error:
        raise InputError(f"map.features={features}: {error}, or set map.kind=normalised") from error
    return {
        name: part.kind(networks[part.features], seed=seed)
        for name, part in FEATURE_PARTS[features].items()
        if part.features in networks
    }


def _networks(gan: GAN, features: str) -> dict[str, nn.Module]:
    """The feature extractors of the parts by name."""
    if features == "critic":
        return {"critic": critic_features(gan)}
    networks = {"imagenet": imagenet_features()}
    with contextlib.suppress(InputError):  # this critic has no features
        networks["critic"] = critic_features(gan)
    return networks


@dataclass(frozen=True)
class BaselineMap:
    """The map of a fitted baseline as a feature map.

    Attributes:
        name: name of the map.
        baseline: fitted baseline.
    """

    name: str
    baseline: Baseline

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (B,H,W) of images (B,C,H,W)."""
        return self.baseline.predict(images).scores


def fitted_images(count: int, excluded: list[int]) -> list[int]:
    """Positions of the clean images for the fits of the baselines: none of those that are excluded."""
    rest = sorted(set(range(count)) - set(excluded))
    return [rest[i] for i in evenly_spaced(len(rest), FEATURE_IMAGES)]


def feature_maps(
    baselines: dict[str, Baseline], clean: Dataset, held_out: list[int], device: torch.device
) -> list[BaselineMap]:
    """The maps of baselines, each fitted to the clean images that are not held out.

    Args:
        baselines: baselines by name.
        clean: dataset of clean images (C,H,W).
        held_out: positions of the clean images that stay out of the fits.
        device: device of the fits.
    """
    others = selected(clean, fitted_images(len(clean), held_out))
    return [BaselineMap(name, baseline.fit(others, device)) for name, baseline in baselines.items()]


def weighted_by_painted(
    clean: CleanStatistics, observed: Tensor, residuals: Tensor, masks: Tensor, sigma: float
) -> tuple[CleanStatistics, dict[str, float]]:
    """Divide the weight of each map of a combined map by its error on painted defects, 1 - pixel AUROC.

    A map that ranks the pixels of painted defects well on these clean images is worth more. Only one number of each
    map counts: real defects are not like painted ones, so weights that are best for painted defects may be bad for real
    ones (compared in experiments/anomaly).

    Args:
        clean: statistics whose feature maps are `BaselineMap`.
        observed: images with painted defects (B,C,H,W).
        residuals: their residuals (B,H,W) without smoothing.
        masks: the masks of the defects (B,H,W) in {0,1}.
        sigma: standard deviation of the Gaussian smoothing of the maps in pixels.

    Returns:
        The statistics with new weights, and the pixel AUROC of each map. Without a painted pixel that counts, the AUROC
        is NaN and the weights stay.
    """
    maps = {"residual": residuals}
    for part in clean.feature_maps:
        maps[part.name] = torch.cat([part(few) for few in observed.split(CHUNK)])
    truth = masks[:, clean.counted]
    scores = {
        name: auroc(*levels(smooth(each, sigma)[:, clean.counted], truth)[1:]).item() for name, each in maps.items()
    }
    if any(math.isnan(score) for score in scores.values()):
        return clean, scores
    weights = zip(clean.weights, scores.values(), strict=True)
    return clean.reweighted([weight / max(1 - score, LEAST_ERROR) for weight, score in weights]), scores
