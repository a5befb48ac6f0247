"""Anomaly maps that are normalised by the residuals of clean images."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgi.pixels import smooth

NEIGHBOUR_SIGMA = 2.0  # pixels: mean and variance at a position are smoothed over its neighbours
DEVIATION_FLOOR = 0.1  # of the mean deviation, added to each: positions that never vary must not dominate

FeatureMap = Callable[[Tensor], Tensor]
"""A second anomaly map: images (B,C,H,W) to scores (B,H,W), higher is more anomalous."""


class CleanStatistics:
    """Mean and variance of the residuals of clean images, at each position.

    Args:
        observed: clean images (N,C,H,W), two at least.
        residuals: their residual maps (N,H,W), unsmoothed, after inversion by the method whose maps are to be
            normalised.
        feature_map: a second anomaly map, such as a fitted baseline's ``predict(images).scores``. It must be fitted to
            other images than these: on its own training images its scores are too low.

    Raises:
        ValueError: shapes that do not fit, or fewer than two images.
    """

    def __init__(self, observed: Tensor, residuals: Tensor, feature_map: FeatureMap | None = None) -> None:
        count, _, *size = observed.shape
        if tuple(residuals.shape) != (count, *size) or count < 2:
            raise ValueError(f"residuals {tuple(residuals.shape)}: must be (N,H,W) of N >= 2 images {(count, *size)}")
        self.residuals, self.feature_map = residuals, feature_map
        if feature_map is not None:
            scores = feature_map(observed)
            self.feature_mean, self.feature_deviation = scores.mean(), scores.std()

    def z_scores(self, residuals: Tensor, sigma: float) -> Tensor:
        """Smoothed residuals minus the clean mean, in clean standard deviations of their position.

        Args:
            residuals: residual maps (B,H,W), unsmoothed.
            sigma: of the Gaussian smoothing, in pixels.
        """
        clean = smooth(self.residuals, sigma)
        mean, variance = smooth(torch.stack([clean.mean(0), clean.var(0)]), NEIGHBOUR_SIGMA).to(residuals)
        deviation = variance.sqrt()
        return (smooth(residuals, sigma) - mean) / (deviation + DEVIATION_FLOOR * deviation.mean())

    def normalised(self, residuals: Tensor, sigma: float) -> Tensor:
        """Scores (B,H,W) > 0 that rank as `z_scores` does."""
        return softplus(self.z_scores(residuals, sigma))

    def combined(self, observed: Tensor, residuals: Tensor, sigma: float) -> Tensor:
        """Scores (B,H,W) > 0 that rank as the sum of `z_scores` and the standardised feature map does.

        Raises:
            ValueError: there is no feature map.
        """
        if self.feature_map is None:
            raise ValueError("anomaly_map: kind='combined' needs CleanStatistics with a feature_map")
        features = (self.feature_map(observed) - self.feature_mean) / self.feature_deviation
        return softplus(self.z_scores(residuals, sigma) + features)
