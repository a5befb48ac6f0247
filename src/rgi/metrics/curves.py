"""Ranking scores, exact with ties: area under the ROC curve, average precision, best F1.

Everything is computed from counts per *level*, the distinct scores in ascending order (or the bins of a
histogram, whose members then count as tied). Results are float64 scalars; NaN without both classes.
"""

import torch
from torch import Tensor

from rgi.metrics.checks import check_map


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


def auroc_error(positives: Tensor, negatives: Tensor, exact: Tensor) -> Tensor:
    """Bound on abs(auroc of the levels - auroc of the scores) where a level is a bin of unequal scores.

    A pair within one bin counts one half and truly counts 0, one half or 1.

    Args:
        positives, negatives: (K,) counts per bin.
        exact: (K,) bool, bins that hold one single value: their ties are true ones.
    """
    p, n = positives.double(), negatives.double()
    return (p * n).masked_fill(exact, 0).sum() / 2 / (p.sum() * n.sum())


def average_precision(positives: Tensor, negatives: Tensor) -> Tensor:
    """Sum over thresholds, one per level, of the precision there times the recall gained there.

    Args:
        positives, negatives: (K,) counts per level, ascending; no level empty of both.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives)
    hits, called = _decisions(positives, negatives)
    return (positives.flip(0) * hits / called).sum() / hits[-1]


def best_f1(values: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Largest F1 (= Dice) of "positive where score >= threshold" over all thresholds, and that threshold.

    Args:
        values: (K,) score of each level (a bin: its lowest score), ascending; the threshold is one of them, the
            highest of several equally good ones.
        positives, negatives: (K,) counts per level; no level empty of both.
    """
    if not _both_classes(positives, negatives):
        return _nan(positives), _nan(positives)
    hits, called = _decisions(positives, negatives)
    f1 = 2 * hits / (called + hits[-1])
    best = f1.argmax()
    return f1[best], values.flip(0)[best].double()


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
    hits = positives.flip(0).cumsum(0)
    return hits.double(), (hits + negatives.flip(0).cumsum(0)).double()


def _both_classes(positives: Tensor, negatives: Tensor) -> bool:
    return bool(positives.any() and negatives.any())


def _nan(like: Tensor) -> Tensor:
    return like.new_full((), float("nan"), dtype=torch.float64)
