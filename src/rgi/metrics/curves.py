"""Ranking metrics that treat ties exactly: AUROC, average precision, best F1, area under the per-region overlap.

The metrics use counts per *level*. A level is a distinct score, in ascending order, or a bin of a histogram. All
scores in a bin count as tied; the functions ``*_error`` bound the resulting error. Results are float64 scalars. A
result is NaN if one of the two classes is missing.
"""

import torch
from torch import Tensor

from rgi.metrics.checks import check_map

AUPRO_LIMIT = 0.3  # highest false-positive rate, as in Bergmann et al. 2021 (IJCV 129) and MVTec's evaluation code


def levels(score: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct scores in ascending order, and the counts of positives and negatives with each score.

    Args:
        score: scores of any shape without NaN; a higher score means more likely positive.
        truth: true labels, as many as scores; non-zero = positive.

    Returns:
        Three tensors (K,): scores, numbers of positives, numbers of negatives.
    """
    values, level = score.flatten().unique(return_inverse=True)
    total = level.bincount(minlength=len(values))
    positives = level[truth.flatten() != 0].bincount(minlength=len(values))
    return values, positives, total - positives


def auroc(positives: Tensor, negatives: Tensor) -> Tensor:
    """Area under the ROC curve: the probability that a positive has a higher score than a negative.

    A tie counts one half. With P positives and N negatives the result is Mann-Whitney U / (P N).

    Args:
        positives: (K,) counts per level, in ascending order of the score.
        negatives: the same.
    """
    p, n = positives.double(), negatives.double()
    below = (negatives.cumsum(0) - negatives).double()
    return (p * (below + n / 2)).sum() / (p.sum() * n.sum())


def auroc_error(positives: Tensor, negatives: Tensor, single_valued: Tensor) -> Tensor:
    """Bound on the error of `auroc` if levels are bins: abs(AUROC of the bins - AUROC of the scores).

    A positive and a negative in one bin count one half. Their true count is 0, one half or 1.

    Args:
        positives: (K,) counts per bin.
        negatives: the same.
        single_valued: (K,) bool, True for bins with one distinct score; the ties in such bins are true ties.
    """
    p, n = positives.double(), negatives.double()
    return (p * n).masked_fill(single_valued, 0).sum() / 2 / (p.sum() * n.sum())


def average_precision(positives: Tensor, negatives: Tensor) -> Tensor:
    """Average precision: the sum over all levels of precision times increase of recall.

    Args:
        positives: (K,) counts per level, in ascending order of the score; no level is empty.
        negatives: the same.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives)
    true_positives, predicted = _decisions(positives, negatives)
    return (positives.flip(0) * true_positives / predicted).sum() / true_positives[-1]


def best_f1(values: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Highest F1 score (= Dice) over all thresholds of "positive if score >= threshold".

    Args:
        values: (K,) score of each level in ascending order; for a bin, its lowest score.
        positives: (K,) counts per level; no level is empty.
        negatives: the same.

    Returns:
        The highest F1 score and its threshold, one of ``values``. The highest threshold is returned if several
        thresholds have the same F1 score.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives), _nan(positives)
    true_positives, predicted = _decisions(positives, negatives)
    f1 = 2 * true_positives / (predicted + true_positives[-1])
    best = f1.argmax()
    return f1[best], values.flip(0)[best].double()


def average_precision_error(positives: Tensor, negatives: Tensor, single_valued: Tensor) -> Tensor:
    """Bound on the error of `average_precision` if levels are bins: abs(AP of the bins - AP of the scores).

    The order of the scores within a bin is unknown. The precision at a positive of the bin is highest if all positives
    of the bin come before its negatives. The precision is lowest at the first positive if all negatives come first.

    Args:
        positives: (K,) counts per bin; no bin is empty.
        negatives: the same.
        single_valued: (K,) bool, True for bins with one distinct score; the ties in such bins are true ties.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives)
    true_positives, predicted = _decisions(positives, negatives)
    p, n = positives.flip(0).double(), negatives.flip(0).double()
    precision = true_positives / predicted
    best, worst = true_positives / (predicted - n), (true_positives - p + 1) / (predicted - p + 1)
    off = torch.maximum(best - precision, precision - worst)
    return (p * off).masked_fill((p == 0) | single_valued.flip(0), 0).sum() / true_positives[-1]


def best_f1_error(positives: Tensor, negatives: Tensor, single_valued: Tensor) -> Tensor:
    """Bound on the error of `best_f1` if levels are bins: (best F1 of the scores - best F1 of the bins) >= 0.

    The F1 score of a threshold within a bin is highest if all positives of the bin lie above the threshold and all
    negatives of the bin lie below it.

    Args:
        positives: (K,) counts per bin; no bin is empty.
        negatives: the same.
        single_valued: (K,) bool, True for bins with one distinct score; no threshold lies within such a bin.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives)
    true_positives, predicted = _decisions(positives, negatives)
    f1 = 2 * true_positives / (predicted + true_positives[-1])
    within = 2 * true_positives / (predicted - negatives.flip(0) + true_positives[-1])
    return torch.where(single_valued.flip(0), f1, within).max() - f1.max()


def aupro(
    overlap: Tensor, negatives: Tensor, single_valued: Tensor, limit: float = AUPRO_LIMIT
) -> tuple[Tensor, Tensor]:
    """Area under the curve of the per-region overlap (PRO) over the false-positive rate, up to a limit.

    Bergmann et al. 2021 (IJCV 129). The per-region overlap at a threshold is the mean over all defect regions of the
    share of the region's pixels above the threshold. Straight lines join the points of neighbouring thresholds. The
    curve begins at (0,0) and ends at the limit, as in MVTec's evaluation code.

    Args:
        overlap: (K,) sum of `rgi.metrics.regions.region_weights` per level, in ascending order of the score.
        negatives: (K,) counts per level.
        single_valued: (K,) bool, True for levels with one distinct score; the ties in such levels are true ties.
        limit: highest false-positive rate, in (0,1].

    Returns:
        The area divided by the limit, in [0,1], and a bound on its error. The error is not zero if a level is a bin
        with several distinct scores: the shape of the curve within such a bin is unknown.
    """
    if not _both_classes(overlap, negatives):
        return _nan(negatives), _nan(negatives)
    rise, step = overlap.flip(0).double() / overlap.sum(), negatives.flip(0).double() / negatives.sum()
    rate = negatives.flip(0).cumsum(0).double() / negatives.sum()
    low = rise.cumsum(0) - rise
    share = ((limit - (rate - step)) / step.clamp(min=torch.finfo(step.dtype).tiny)).clamp(0, 1)  # left of the limit
    width = share * step
    area = (width * (low + rise * share / 2)).sum()
    error = (width * rise * (1 - share / 2)).masked_fill(single_valued.flip(0), 0).sum()
    return area / limit, error / limit


def auroc_per_image(anomaly_map: Tensor, mask: Tensor, counted: Tensor | None = None) -> Tensor:
    """Exact pixel AUROC of each image: (B,) float64, NaN for images without defect or without normal pixels.

    Args:
        anomaly_map: pixel scores (B,H,W); a higher score means more anomalous.
        mask: true mask (B,1,H,W) in {0,1}, 1 = defect.
        counted: pixels that count (B,1,H,W) in {0,1}; None for all.

    Raises:
        InputError: the shapes do not fit, the map has NaN, or the mask has values other than 0 and 1.
    """
    check_map(anomaly_map, mask)
    kept = torch.ones_like(mask, dtype=torch.bool) if counted is None else counted != 0
    images = [
        auroc(*levels(score[inside], truth[inside])[1:])
        for score, truth, inside in zip(anomaly_map, mask[:, 0], kept[:, 0], strict=True)
    ]
    return torch.stack(images) if images else anomaly_map.new_empty(0, dtype=torch.float64)


def _decisions(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Counts of true positives and of predicted positives at each threshold, from the highest threshold down."""
    true_positives = positives.flip(0).cumsum(0)
    return true_positives.double(), (true_positives + negatives.flip(0).cumsum(0)).double()


def _both_classes(positives: Tensor, negatives: Tensor) -> bool:
    return bool(positives.any() and negatives.any())


def _nan(like: Tensor) -> Tensor:
    return like.new_full((), float("nan"), dtype=torch.float64)
