"""Precision and recall of the features of generated images."""

import torch
from torch import Tensor

from rgi.metrics.generative.checks import check_features
from rgi.metrics.generative.embedding import standardise

CHUNK = 1024  # rows of the distance matrix in memory at a time


def precision_recall(real_features: Tensor, fake_features: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of generated images that look real (precision), and share of real images that are covered (recall).

    Kynkäänniemi et al., *Improved precision and recall metric for assessing generative models*, NeurIPS 2019. Each
    member of a set has a ball around it; the radius is the distance to the k-th nearest neighbour in the same set.
    Precision is the share of generated images in at least one ball of the real images. Recall is the share of real
    images in at least one ball of the generated images. Features are standardised by the real features first. Two
    samples of the same distribution reach about 0.7 to 0.9, not 1.

    Args:
        real_features: features of real images (N,F), N > k.
        fake_features: features of generated images (M,F), M > k.
        k: number of the neighbour that defines the radius; a higher k gives higher scores.

    Returns:
        Precision and recall in [0,1]; 1 is best.

    Raises:
        InputError: the shapes do not fit, a set has too few rows, or a value is NaN or infinite.
    """
    check_features(real_features, fake_features, k + 1)
    real, fake = standardise(real_features, fake_features)
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(points: Tensor, cover: Tensor, k: int) -> float:
    """Share of points (N,F) in at least one ball around a member of the cover (M,F)."""
    # k + 1, because the nearest neighbour of a member is the member itself.
    radius = torch.cat([_distances(part, cover).kthvalue(k + 1).values for part in cover.split(CHUNK)])
    inside = [(_distances(part, cover) <= radius).any(1) for part in points.split(CHUNK)]
    return torch.cat(inside).cpu().double().mean().item()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # The matrix product would give a member a distance to itself that is not exactly 0.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
