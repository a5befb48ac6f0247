"""Ranking scores, exact with ties: area under the ROC curve, average precision, best F1, per-region overlap.

Everything is computed from counts per *level*, the distinct scores in ascending order (or the bins of a
histogram, whose members then count as tied, at a cost that the functions ``*_error`` bound). Results are float64
scalars; NaN without both classes.
"""

import torch
from torch import Tensor

from rgi.metrics.checks import check_map

AUPRO_LIMIT = 0.3  # of the false-positive rate: Bergmann et al. 2021 (IJCV 129), MVTec's evaluation code


def levels(score: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct scores, ascending, with how many positives and negatives have each: three (K,).

    Args:
        score: any shape, higher is more positive, no NaN.
        truth: as many elements, non-zero = positive.
    """
    values, level = score.flatten().unique(return_inverse=True)
    total = level.bincount(minlength=len(values))
    positives = level[truth.flatten() != 0].bincount(minlength=len(values))
    return values, positives, total - positives


def auroc(positives: Tensor, negatives: Tensor) -> Tensor:
    """Probability that a positive outranks a negative, a tie counting one half (Mann-Whitney U / PN).

    Args:
        positives, negatives: (K,) counts per level, ascending.
    """
    p, n = positives.double(), negatives.double()
    below = (negatives.cumsum(0) - negatives).double()
    return (p * (below + n / 2)).sum() / (p.sum() * n.sum())


def auroc_error(positives: Tensor, negatives: Tensor, single_valued: Tensor) -> Tensor:
    """Bound on abs(auroc of the levels - auroc of the scores) where a level is a bin of unequal scores.

    A pair within one bin counts one half and truly counts 0, one half or 1.

    Args:
        positives, negatives: (K,) counts per bin.
        single_valued: (K,) bool, bins that hold one single value: their ties are true ones.
    """
    p, n = positives.double(), negatives.double()
    return (p * n).masked_fill(single_valued, 0).sum() / 2 / (p.sum() * n.sum())


def average_precision(positives: Tensor, negatives: Tensor) -> Tensor:
    """Sum over thresholds, one per level, of the precision there times the recall gained there.

    Args:
        positives, negatives: (K,) counts per level, ascending; no level empty of both.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives)
    true_positives, predicted = _decisions(positives, negatives)
    return (positives.flip(0) * true_positives / predicted).sum() / true_positives[-1]


def best_f1(values: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Largest F1 (= Dice) of "positive where score >= threshold" over all thresholds, and that threshold.

    Args:
        values: (K,) score of each level (a bin: its lowest score), ascending; the threshold is one of them, the
            highest of several equally good ones.
        positives, negatives: (K,) counts per level; no level empty of both.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives), _nan(positives)
    true_positives, predicted = _decisions(positives, negatives)
    f1 = 2 * true_positives / (predicted + true_positives[-1])
    best = f1.argmax()
    return f1[best], values.flip(0)[best].double()


def average_precision_error(positives: Tensor, negatives: Tensor, single_valued: Tensor) -> Tensor:
    """Bound on abs(average_precision of the levels - that of the scores) where a level is a bin of unequal scores.

    The positives of a bin gain recall at a precision between that of one of them after all of the bin's negatives, and
    that of all of them before these.

    Args:
        positives, negatives: (K,) counts per bin, no bin empty of both.
        single_valued: (K,) bool, bins that hold one single value: their ties are true ones.
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
    """Bound on (best F1 of the scores - best F1 of the levels), never negative, for bins of unequal scores.

    A threshold within a bin finds at most all of its positives, and at least none of its negatives.

    Args:
        positives, negatives: (K,) counts per bin, no bin empty of both.
        single_valued: (K,) bool, bins that hold one single value.
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
    """Area under the per-region overlap over the false-positive rate up to a limit, divided by it; and its error.

    At a threshold, the overlap is the mean over regions of the share of the region that is found, the rate the share of
    all negatives. As in MVTec's evaluation code, the points of neighbouring thresholds are joined by straight
    lines, from (0,0) on, and the last one is cut at the limit.

    The error bounds the distance from the area of the scores where a level is a bin of unequal ones: within a bin,
    the true curve rises from its first point to its last, no one knows how.

    Args:
        overlap: (K,) per level, ascending, the sum of `rgi.metrics.regions.region_weights`.
        negatives: (K,) counts per level.
        single_valued: (K,) bool, levels that hold one single value: their ties are true ones.
        limit: in (0,1].
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


def auroc_per_image(anomaly_map: Tensor, mask: Tensor) -> Tensor:
    """Exact pixel AUROC of each image on its own: (B,) float64, NaN where the truth is empty or full.

    Args:
        anomaly_map: (B,H,W), higher is more anomalous.
        mask: (B,1,H,W) in {0,1}, 1 = defect.

    Raises:
        InputError: shapes that do not fit, NaN in the map, a mask of other values.
    """
    check_map(anomaly_map, mask)
    images = [auroc(*levels(score, truth)[1:]) for score, truth in zip(anomaly_map, mask, strict=True)]
    return torch.stack(images) if images else anomaly_map.new_empty(0, dtype=torch.float64)


def _decisions(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """True positives, and all elements called positive, at each threshold from the highest level down."""
    true_positives = positives.flip(0).cumsum(0)
    return true_positives.double(), (true_positives + negatives.flip(0).cumsum(0)).double()


def _both_classes(positives: Tensor, negatives: Tensor) -> bool:
    return bool(positives.any() and negatives.any())


def _nan(like: Tensor) -> Tensor:
    return like.new_full((), float("nan"), dtype=torch.float64)
