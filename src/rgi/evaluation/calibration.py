"""What clean pictures tell about a generator and a method: λ, what is usual, and thresholds. One file keeps it all."""

import dataclasses
import json
import logging
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from rgi.baselines.base import Baseline
from rgi.errors import InputError
from rgi.evaluation.combined_map import BaselineMap, unfitted_baselines
from rgi.evaluation.fingerprint import code_fingerprint
from rgi.generators.store import GAN
from rgi.inversion.maps import CleanStatistics

log = logging.getLogger(__name__)
ENDING = ".calibration.safetensors"
PIXELS = 10_000  # highest number of pixels of a picture that count for the threshold of the map


@dataclass(frozen=True)
class Calibration:
    """Measurements on clean pictures with one generator and one method.

    Attributes:
        generator: hash of the generator's file.
        code: fingerprint of the code that measured.
        settings: options of the method by name; a verdict with other options would be wrong.
        residuals: quantiles of residuals, as on a card; ``mask_penalty`` and ``latent_weight`` use them.
        scores: sorted scores of the clean pictures that were held out for the threshold.
        false_positive_rate: share of clean pictures that were to lie above the threshold.
        threshold: score above which a picture is defective.
        pixel_threshold: value of the map that this share of clean pixels exceeds.
        usual_pixel: median of the map over clean pixels.
        statistics: tensors of `rgi.inversion.maps.CleanStatistics`; empty for a map without statistics.
        residual_scale: scale of the residuals at each position, as on a card; older files have none.
        defect_prior: factor on the weight of |z|², as on a card; 1 in older files.
    """

    generator: str
    code: str
    settings: dict[str, Any]
    residuals: dict[str, float]
    scores: list[float]
    false_positive_rate: float
    threshold: float
    pixel_threshold: float
    usual_pixel: float
    statistics: dict[str, Tensor]
    residual_scale: list[list[float]] = field(default_factory=list)
    defect_prior: float = 1.0

    @property
    def expected_rate(self) -> float:
        """Share of clean pictures above the threshold that is to be expected."""
        return rank(len(self.scores), self.false_positive_rate) / (len(self.scores) + 1)

    def check(self, gan: GAN, settings: dict[str, Any], file: Path, remedy: str) -> None:
        """Check that the calibration is of this generator and method.

        Args:
            gan: generator.
            settings: options of the method by name.
            file: file of the calibration.
            remedy: what to do for a new calibration.

        Raises:
            InputError: the calibration is of another generator, or of other options.
        """
        if self.code != code_fingerprint():
            log.warning("%s: is of another version of this program, so the threshold may be off; %s", file, remedy)
        remedy = f"{remedy}, or move this file away"
        if self.generator != gan.card.sha256:
            raise InputError(f"{file}: is a calibration of another generator; {remedy}")
        for name, value in json.loads(json.dumps(settings)).items():
            if self.settings.get(name) != value:
                known = _shown(self.settings.get(name))
                raise InputError(f"{name}={_shown(value)}: the calibration {file} has {name}={known}; {remedy}")

    def clean(self, gan: GAN) -> CleanStatistics | None:
        """Statistics for the anomaly map; None for a map without statistics."""
        if not self.statistics:
            return None
        learned = self.statistics["observed"], self.statistics["residuals"]
        parts = {name.partition(".")[0] for name in self.statistics if "." in name}
        if not parts:
            return CleanStatistics(*learned)
        baselines = unfitted_baselines(gan, self.settings["map.features"], self.settings["seed"])
        if parts != baselines.keys() or "weights" not in self.statistics:
            raise InputError(f"the calibration is of another version, with {', '.join(sorted(parts))}; calibrate again")
        maps = [BaselineMap(name, self._restored(name, part)) for name, part in baselines.items()]
        return CleanStatistics(*learned, maps, self.statistics["weights"].tolist())

    def _restored(self, name: str, baseline: Baseline) -> Baseline:
        """The baseline of this name with the tensors that it had learned."""
        start = f"{name}."
        learned = {key: each for key, each in self.statistics.items() if key.startswith(start)}
        return baseline.restore({key.removeprefix(start): each for key, each in learned.items()})


def _shown(value: Any) -> str:
    """A value as a user types it on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def statistics_tensors(clean: CleanStatistics | None) -> dict[str, Tensor]:
    """The tensors from which `Calibration.clean` makes the statistics again.

    Args:
        clean: the statistics; None for a map without statistics.
    """
    if clean is None:
        return {}
    weights = torch.tensor(clean.weights, dtype=torch.float64)
    tensors = {"observed": clean.observed, "residuals": clean.residuals, "weights": weights}
    for each in clean.feature_maps:
        tensors |= {f"{each.name}.{name}": tensor for name, tensor in each.baseline.learned().items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def rank(count: int, false_positive_rate: float) -> int:
    """Position of the threshold among sorted clean scores, counted from the highest.

    A new clean picture lies above the k-th highest of n clean scores with a probability of k / (n + 1). The result is
    the largest k for which this is at most the given rate, but at least 1.

    Args:
        count: number n of clean scores.
        false_positive_rate: highest share of clean pictures above the threshold.
    """
    return max(1, math.floor(false_positive_rate * (count + 1) + 1e-9))


def threshold(scores: list[float], false_positive_rate: float) -> float:
    """Score that at most the given share of clean pictures exceeds, if `rank` is not limited to the highest score."""
    return sorted(scores, reverse=True)[rank(len(scores), false_positive_rate) - 1]


def calibration_file(generator: Path) -> Path:
    """The file of the calibration, beside the safetensors file of a generator."""
    return generator.with_name(generator.name.removesuffix(".safetensors") + ENDING)


def save_calibration(calibration: Calibration, file: Path) -> None:
    """Write a calibration atomically."""
    fields = dataclasses.asdict(dataclasses.replace(calibration, statistics={}))
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    try:
        # A file without any tensor would be no valid one.
        tensors = {"scores": torch.tensor(calibration.scores), **calibration.statistics}
        part.write_bytes(save(tensors, {"calibration": json.dumps(fields)}))
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def load_calibration(file: Path) -> Calibration:
    """Read a calibration.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            fields = json.loads(stored.metadata()["calibration"])
            names = [name for name in stored.keys() if name != "scores"]  # noqa: SIM118, it is not a dict
            statistics = {name: stored.get_tensor(name) for name in names}
        calibration = Calibration(**fields | {"statistics": statistics})
        thresholds = (calibration.threshold, calibration.pixel_threshold)
        numbers = [*thresholds, calibration.usual_pixel, calibration.defect_prior, *calibration.scores]
        if not (calibration.scores and np.isfinite(numbers).all() and isinstance(calibration.settings, dict)):
            raise ValueError("it has no scores or no settings")
        return calibration
    except (OSError, SafetensorError, ValueError, TypeError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: is no calibration ({reason}); remove it, and calibrate again") from error
