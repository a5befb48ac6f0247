"""Precision and recall of generated images, in a space of features."""

import torch
from torch import Tensor

from rgi.metrics.generative.checks import check_features
from rgi.metrics.generative.embedding import standardise

CHUNK = 1024  # rows of a matrix of distances held at a time


def precision_recall(real_features: Tensor, fake_features: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fakes that look real, and share of reals that look generated.

    Kynkäänniemi et al., *Improved precision and recall metric for assessing generative models*, NeurIPS 2019: a set
    covers the balls around its members that reach to their k-th nearest neighbour within the set; precision is the
    share of fakes that the reals cover, recall the share of reals that the fakes cover. Every feature counts in units
    of its deviation among the reals. Two samples of one distribution reach about 0.7 to 0.9, not 1.

    Args:
        real_features: (N,F), N > k.
        fake_features: (M,F), M > k.
        k: larger is more lenient.

    Raises:
        InputError: shapes that do not fit, too few rows, NaN or infinities.
    """
    check_features(real_features, fake_features, k + 1)
    real, fake = standardise(real_features, fake_features)
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(points: Tensor, cover: Tensor, k: int) -> float:
    """Share of points (N,F) that lie within the k-th neighbour's distance of some member of the cover (M,F)."""
    # A member's nearest is itself, at a distance of exactly 0 as long as no product is used.
    radius = torch.cat([_distances(part, cover).kthvalue(k + 1).values for part in cover.split(CHUNK)])
    inside = [(_distances(part, cover) <= radius).any(1) for part in points.split(CHUNK)]
    return torch.cat(inside).double().mean().item()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
