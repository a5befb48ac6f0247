"""Anomaly maps in units of the spread of clean images."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgi.pixels import smooth

NEIGHBOUR_SIGMA = 2.0  # pixels: sigma of the Gaussian that smooths mean and variance over neighbouring positions
# Share of the mean deviation that is added to all deviations. Otherwise positions with a tiny deviation would dominate.
DEVIATION_FLOOR = 0.1
# Weight of the feature map in a combined map; that of the residual is 1 or 0. Compared in experiments/anomaly.
FEATURE_WEIGHT = 3.0

FeatureMap = Callable[[Tensor], Tensor]
"""A second anomaly map: images (B,C,H,W) to pixel scores (B,H,W); a higher score means more anomalous."""


class CleanStatistics:
    """Mean and variance of the residuals of clean images at each position.

    Args:
        observed: clean images (N,C,H,W), N >= 2.
        residuals: residual maps (N,H,W) of these images without smoothing, from the inversion method whose maps are
            normalised later.
        feature_map: second anomaly map, such as ``predict(images).scores`` of a fitted baseline; or None. The baseline
            must be fitted to other images, because its scores on its own training images are too low.
        counted: pixels that count (1,H,W) in {0,1}: means and deviations over all pixels leave out the others. None for
            all.
        residual_weight: weight of the residual in a combined map; 0 for the feature map alone.

    Raises:
        ValueError: the shapes do not fit, or there are fewer than two images.
    """

    def __init__(
        self,
        observed: Tensor,
        residuals: Tensor,
        feature_map: FeatureMap | None = None,
        counted: Tensor | None = None,
        residual_weight: float = 1.0,
    ) -> None:
        count, _, *size = observed.shape
        if tuple(residuals.shape) != (count, *size) or count < 2:
            raise ValueError(f"residuals {tuple(residuals.shape)}: must be (N,H,W) of N >= 2 images {(count, *size)}")
        self.observed, self.residuals, self.feature_map = observed, residuals, feature_map
        self.counted = torch.ones(size, dtype=torch.bool) if counted is None else counted[0] != 0
        self.residual_weight = residual_weight
        self.features = None if feature_map is None else feature_map(observed)

    def z_scores(self, residuals: Tensor, sigma: float) -> Tensor:
        """Smoothed residuals minus the clean mean at the same position, divided by the clean standard deviation there.

        Args:
            residuals: residual maps (B,H,W) without smoothing.
            sigma: standard deviation of the Gaussian smoothing in pixels; clean residuals are smoothed, too.

        Returns:
            Pixel scores (B,H,W) of either sign.
        """
        clean = smooth(self.residuals, sigma)
        mean, variance = smooth(torch.stack([clean.mean(0), clean.var(0)]), NEIGHBOUR_SIGMA).to(residuals)
        deviation = variance.sqrt()
        return (smooth(residuals, sigma) - mean) / (deviation + DEVIATION_FLOOR * deviation[self.counted].mean())

    def normalised(self, residuals: Tensor, sigma: float) -> Tensor:
        """Softplus of `z_scores`: positive scores in the same order.

        Args:
            residuals: residual maps (B,H,W) without smoothing.
            sigma: standard deviation of the Gaussian smoothing in pixels.

        Returns:
            Pixel scores (B,H,W) > 0.
        """
        return softplus(self.z_scores(residuals, sigma))

    def combined(self, observed: Tensor, residuals: Tensor, sigma: float) -> Tensor:
        """Softplus of a weighted mean of residuals and feature map, each standardised by clean images.

        Mean and standard deviation are those of all pixels of the clean images. The feature map counts
        `FEATURE_WEIGHT` times, the residual ``residual_weight`` times.

        Args:
            observed: observed images (B,C,H,W).
            residuals: residual maps (B,H,W) of these images without smoothing.
            sigma: standard deviation of the Gaussian smoothing of both maps in pixels.

        Returns:
            Pixel scores (B,H,W) > 0.

        Raises:
            ValueError: there is no feature map.
        """
        if self.feature_map is None or self.features is None:
            raise ValueError("anomaly_map: kind='combined' needs CleanStatistics with a feature_map")
        residuals = _standardised(residuals, self.residuals, sigma, self.counted)
        features = _standardised(self.feature_map(observed), self.features, sigma, self.counted)
        total = self.residual_weight * residuals + FEATURE_WEIGHT * features
        return softplus(total / (self.residual_weight + FEATURE_WEIGHT))


def _standardised(scores: Tensor, clean: Tensor, sigma: float, counted: Tensor) -> Tensor:
    """Smoothed scores (B,H,W) minus the mean of smoothed clean scores (N,H,W), divided by their deviation.

    Mean and deviation are those of the pixels (H,W) that count.
    """
    clean = smooth(clean, sigma).to(scores)[:, counted]
    return (smooth(scores, sigma) - clean.mean()) / clean.std().clamp(min=torch.finfo(scores.dtype).tiny)
