"""A threshold that no truth was needed for: fixed on clean validation images, then scored on the test set."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from rgi.errors import InputError
from rgi.metrics import bins
from rgi.metrics.checks import check_map, check_non_negative


def clean_threshold(maps: Iterable[Tensor], false_positive_rate: float) -> float:
    """The threshold of `CleanThreshold` for these batches of maps of clean images, each (B,H,W) >= 0.

    Raises:
        InputError: no maps, negative or NaN scores, a rate outside [0,1).
    """
    metric = CleanThreshold(false_positive_rate)
    for batch in maps:
        metric.update(batch)
    if not metric.update_called:
        raise InputError("maps: is empty; a threshold needs maps of clean validation images")
    return metric.compute().item()


class CleanThreshold(Metric):
    """The score that at most a given share of all pixels of clean images exceeds, in constant memory (75 MB).

    The smallest such score, or one above it in the same bin (`rgi.metrics.bins`), that is larger by a relative 2^-17
    at most; exactly the smallest where a bin holds one value only. If more than the given share of the pixels has the
    largest score, the threshold is that score and no pixel exceeds it.

    Args:
        false_positive_rate: the share, in [0,1).

    Raises:
        InputError: a share outside [0,1).
    """

    full_state_update = False

    def __init__(self, false_positive_rate: float, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= false_positive_rate < 1:
            raise InputError(f"false_positive_rate: is {false_positive_rate}; pass a share in [0,1), such as 0.01")
        self.false_positive_rate = false_positive_rate
        self.add_state("pixels", bins.default_state(0, torch.int64), dist_reduce_fx="sum")
        self.add_state("highest", bins.default_state(0, torch.float32), dist_reduce_fx="max")
        self.reset()

    def update(self, anomaly_map: Tensor) -> None:
        """Add a batch of maps of clean images, (B,H,W) >= 0, ranked as float32.

        Raises:
            InputError: negative or NaN scores.
        """
        check_non_negative("anomaly_map", anomaly_map)
        score = anomaly_map.flatten().float()
        index = bins.bin_index(score)
        self.pixels += index.bincount(minlength=bins.BINS)
        self.highest.scatter_reduce_(0, index, score, "amax")

    def compute(self) -> Tensor:
        """The threshold, a float64 scalar that holds a float32; NaN before the first pixel."""
        index = self.pixels.nonzero().squeeze(1)
        pixels = self.pixels[index]
        above = pixels.sum() - pixels.cumsum(0)
        enough = self.highest[index][above.double() / pixels.sum() <= self.false_positive_rate]
        return enough[0].double() if len(enough) else torch.tensor(torch.nan, dtype=torch.float64, device=self.device)


class FixedThreshold(Metric):
    """F1 (= Dice) of "defect where the float32 score > threshold" over all pixels of a test set.

    Args:
        threshold: chosen without the test set, by `clean_threshold`, say.

    Raises:
        InputError: a NaN.
    """

    full_state_update = False

    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__(**options)
        if math.isnan(threshold):
            raise InputError("threshold: is NaN; it needs maps of clean validation images")
        self.threshold = threshold
        for state in ("true_positives", "false_positives", "defect", "normal"):
            self.add_state(state, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, anomaly_map: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Args:
            anomaly_map: (B,H,W), higher is more anomalous.
            mask: (B,1,H,W) in {0,1}, 1 = defect.

        Raises:
            InputError: shapes that do not fit, NaN in the map, a mask of other values.
        """
        check_map(anomaly_map, mask)
        defect, predicted = mask[:, 0] != 0, anomaly_map.float() > self.threshold
        self.true_positives += (predicted & defect).sum()
        self.false_positives += (predicted & ~defect).sum()
        self.defect += defect.sum()
        self.normal += (~defect).sum()

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars.

        ``f1_at_clean_threshold``, NaN without defects; ``clean_threshold``; ``clean_threshold_fpr``, the share of the
        test set's normal pixels above it, NaN without any: far from the rate it was fixed at, clean test pixels do not
        look like the validation images.
        """
        predicted = self.true_positives + self.false_positives
        f1 = 2 * self.true_positives.double() / (predicted + self.defect)
        return {
            "f1_at_clean_threshold": torch.where(self.defect > 0, f1, torch.nan),
            "clean_threshold": f1.new_tensor(self.threshold),
            "clean_threshold_fpr": self.false_positives.double() / self.normal,
        }
