"""Anomaly maps in units of clean images: standard deviations, or surprisal."""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from rgi.pixels import smooth

NEIGHBOUR_SIGMA = 2.0  # pixels: sigma of the Gaussian that smooths mean and variance over neighbouring positions
# Share of the mean deviation that is added to all deviations. Otherwise positions with a tiny deviation would dominate.
DEVIATION_FLOOR = 0.1
TAIL = 0.01  # share of the clean pixels whose scores a line extends; so few say little about the shape of the tail
KNOTS = 101  # points of the curve from score to surprisal below the tail
# The residual of a combined map counts above the surprisal of this share of the clean pixels. Compared in
# experiments/anomaly.
RESIDUAL_SHARE = 0.1

FeatureMap = Callable[[Tensor], Tensor]
"""A second anomaly map: images (B,C,H,W) to pixel scores (B,H,W); a higher score means more anomalous."""


class Surprisal:
    """The surprisal -log p of a score, where p is the share of clean pixels with at least this score.

    Above the 1 - `TAIL` quantile the tail is taken for exponential, so the surprisal grows linearly. Its slope is the
    inverse of the mean excess of the clean scores.

    Args:
        clean: scores of clean pixels (n,).
    """

    def __init__(self, clean: Tensor) -> None:
        ordered = clean.sort().values
        self.heights = torch.linspace(0, -math.log(TAIL), KNOTS, device=clean.device)
        self.scores = ordered[((1 - (-self.heights).exp()) * (len(ordered) - 1)).round().long()]
        self.last = self.scores[-1]
        excess = (ordered[ordered >= self.last] - self.last).mean()
        smallest = torch.finfo(ordered.dtype).eps * self.last.abs() + torch.finfo(ordered.dtype).tiny
        self.excess = torch.maximum(excess, smallest)

    def __call__(self, scores: Tensor) -> Tensor:
        """Surprisal >= 0 of scores of any shape; it grows with the score, and is 0 below all clean scores."""
        after = torch.searchsorted(self.scores, scores.contiguous()).clamp(1, KNOTS - 1)
        low, high = self.scores[after - 1], self.scores[after]
        share = ((scores - low) / (high - low).clamp(min=torch.finfo(scores.dtype).tiny)).clamp(0, 1)
        below = self.heights[after - 1] + share * (self.heights[after] - self.heights[after - 1])
        return below + relu(scores - self.last) / self.excess


class CleanStatistics:
    """Mean and variance of the residuals of clean images at each position, and the scores of all clean pixels.

    Args:
        observed: clean images (N,C,H,W), N >= 2.
        residuals: residual maps (N,H,W) of these images without smoothing, from the inversion method whose maps are
            normalised later.
        feature_maps: further anomaly maps, such as ``predict(images).scores`` of a fitted baseline. The baseline must
            be fitted to other images, because its scores on its own training images are too low.
        weights: weights of the residual and of each feature map in a combined map; None for 1.
        counted: pixels that count (1,H,W) in {0,1}: the statistics of all pixels leave out the others. None for all.

    Raises:
        ValueError: the shapes do not fit, there are fewer than two images, or a weight is missing.
    """

    def __init__(
        self,
        observed: Tensor,
        residuals: Tensor,
        feature_maps: Sequence[FeatureMap] = (),
        weights: Sequence[float] | None = None,
        counted: Tensor | None = None,
    ) -> None:
        count, _, *size = observed.shape
        if tuple(residuals.shape) != (count, *size) or count < 2:
            raise ValueError(f"residuals {tuple(residuals.shape)}: must be (N,H,W) of N >= 2 images {(count, *size)}")
        self.observed, self.residuals, self.feature_maps = observed, residuals, list(feature_maps)
        self.weights = [1.0] * (1 + len(self.feature_maps)) if weights is None else list(weights)
        if len(self.weights) != 1 + len(self.feature_maps):
            raise ValueError(f"weights {self.weights}: must be those of the residual and {len(self.feature_maps)} maps")
        self.counted = torch.ones(size, dtype=torch.bool) if counted is None else counted[0] != 0
        self.features = [feature_map(observed) for feature_map in self.feature_maps]
        self._curves: dict[float, list[Surprisal]] = {}

    def reweighted(self, weights: Sequence[float]) -> "CleanStatistics":
        """The same statistics with other weights of a combined map."""
        other = copy.copy(self)
        other.weights = list(weights)
        return other

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
        """The weighted mean of the surprisals of all maps among clean pixels.

        The sum of -log p over independent maps is Fisher's test that combines p-values (Statistical Methods for
        Research Workers, 1932), here with weights (Good, JRSS B 1955). A map may be noise where it says little, so the
        residual counts only where p < `RESIDUAL_SHARE`, as in the truncated product of p-values (Zaykin et al.,
        Genetic Epidemiology 2002).

        Args:
            observed: observed images (B,C,H,W).
            residuals: residual maps (B,H,W) of these images without smoothing.
            sigma: standard deviation of the Gaussian smoothing of all maps in pixels.

        Returns:
            Pixel scores (B,H,W) >= 0, in nats.

        Raises:
            ValueError: there is no feature map.
        """
        if not self.feature_maps:
            raise ValueError("anomaly_map: kind='combined' needs CleanStatistics with feature_maps")
        maps = [residuals, *(feature_map(observed).to(residuals) for feature_map in self.feature_maps)]
        curves = zip(maps, self._surprisals(sigma, residuals), strict=True)
        residual, *others = [curve(smooth(each, sigma)) for each, curve in curves]
        parts = [relu(residual + math.log(RESIDUAL_SHARE)), *others]
        return sum(weight * part for weight, part in zip(self.weights, parts, strict=True)) / sum(self.weights)

    def _surprisals(self, sigma: float, like: Tensor) -> list[Surprisal]:
        """The curves of the residual and of each feature map, computed once for each sigma."""
        if sigma not in self._curves:
            clean = [smooth(each, sigma).to(like)[:, self.counted] for each in (self.residuals, *self.features)]
            self._curves[sigma] = [Surprisal(each.flatten()) for each in clean]
        return self._curves[sigma]
