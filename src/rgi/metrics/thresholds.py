"""Thresholds from clean validation images, and the F1 score at such a threshold."""

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
    """Threshold that a given share of the pixels of clean images exceeds, by `CleanThreshold`.

    Args:
        maps: batches of anomaly maps (B,H,W) >= 0 of clean images.
        false_positive_rate: highest share of clean pixels above the threshold, in [0,1).

    Raises:
        InputError: there are no maps, a score is negative or NaN, or the rate is outside [0,1).
    """
    metric = CleanThreshold(false_positive_rate)
    for batch in maps:
        metric.update(batch)
    if not metric.update_called:
        raise InputError("maps: is empty; pass anomaly maps of clean validation images")
    return metric.compute().item()


class CleanThreshold(Metric):
    """Lowest score that at most a given share of the pixels of clean images exceeds, in constant memory (75 MB).

    The metric counts scores in the bins of `rgi.metrics.bins` and returns the highest score of a bin. The result is
    therefore above the exact threshold by at most a factor of 1 + 2^-17. The result is exact for a bin with one
    distinct score. If the share of pixels with the highest score is above the given share, the threshold is the highest
    score.

    Args:
        false_positive_rate: highest share of clean pixels above the threshold, in [0,1).

    Raises:
        InputError: the rate is outside [0,1).
    """

    full_state_update = False

    def __init__(self, false_positive_rate: float, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= false_positive_rate < 1:
            raise InputError(f"false_positive_rate: is {false_positive_rate}; pass a number in [0,1), such as 0.01")
        self.false_positive_rate = false_positive_rate
        self.add_state("pixels", bins.default_state(0, torch.int64), dist_reduce_fx="sum")
        self.add_state("highest", bins.default_state(0, torch.float32), dist_reduce_fx="max")
        self.reset()

    def update(self, anomaly_map: Tensor) -> None:
        """Add a batch.

        Args:
            anomaly_map: pixel scores (B,H,W) >= 0 of clean images, converted to float32.

        Raises:
            InputError: a score is negative or NaN.
        """
        check_non_negative("anomaly_map", anomaly_map)
        score = anomaly_map.flatten().float()
        index = bins.bin_index(score)
        self.pixels += index.bincount(minlength=bins.BINS)
        self.highest.scatter_reduce_(0, index, score, "amax")

    def compute(self) -> Tensor:
        """The threshold as a float64 scalar with a float32 value; NaN before the first update."""
        index = self.pixels.nonzero().squeeze(1)
        pixels = self.pixels[index]
        above = pixels.sum() - pixels.cumsum(0)
        enough = self.highest[index][above.double() / pixels.sum() <= self.false_positive_rate]
        return enough[0].double() if len(enough) else torch.tensor(torch.nan, dtype=torch.float64, device=self.device)


class FixedThreshold(Metric):
    """F1 score (= Dice) at a given threshold over all pixels of a test set.

    Pixels with float32 score > threshold are positive.

    Args:
        threshold: threshold from other images than the test set, such as the result of `clean_threshold`.

    Raises:
        InputError: the threshold is NaN.
    """

    full_state_update = False

    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__(**options)
        if math.isnan(threshold):
            raise InputError("threshold: is NaN; compute it from anomaly maps of clean validation images")
        self.threshold = threshold
        for state in ("true_positives", "false_positives", "defect", "normal"):
            self.add_state(state, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, anomaly_map: Tensor, mask: Tensor, counted: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            anomaly_map: pixel scores (B,H,W); a higher score means more anomalous.
            mask: true mask (B,1,H,W) in {0,1}, 1 = defect.
            counted: pixels that count (B,1,H,W) in {0,1}; None for all.

        Raises:
            InputError: the shapes do not fit, the map has NaN, or the mask has values other than 0 and 1.
        """
        check_map(anomaly_map, mask)
        defect, predicted = mask[:, 0] != 0, anomaly_map.float() > self.threshold
        if counted is not None:
            inside = counted[:, 0] != 0
            defect, predicted = defect[inside], predicted[inside]
        self.true_positives += (predicted & defect).sum()
        self.false_positives += (predicted & ~defect).sum()
        self.defect += defect.sum()
        self.normal += (~defect).sum()

    def compute(self) -> dict[str, Tensor]:
        """Scores at the threshold as float64 scalars.

        Returns:
            f1_at_clean_threshold: F1 score; NaN without defect pixels.
            clean_threshold: the threshold.
            clean_threshold_fpr: share of the normal test pixels above the threshold; NaN without normal pixels. A large
                difference from the rate on the validation images means that the normal test pixels look different.
        """
        predicted = self.true_positives + self.false_positives
        f1 = 2 * self.true_positives.double() / (predicted + self.defect)
        return {
            "f1_at_clean_threshold": torch.where(self.defect > 0, f1, torch.nan),
            "clean_threshold": f1.new_tensor(self.threshold),
            "clean_threshold_fpr": self.false_positives.double() / self.normal,
        }
