"""Pixel scores from residuals, judged by what clean images leave."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgi.pixels import smooth

NEAR = 2.0  # pixels: what is usual at a position is estimated from those around it, too
FLOOR = 0.1  # of the mean deviation: positions where nothing ever varied must not decide alone


class CleanStatistics:
    """What is usual in clean images: their residuals at each position, and what a second opinion says of them.

    Args:
        observed: clean images (N,C,H,W), two at least.
        residuals: their maps (N,H,W), unsmoothed, after inversion by the method whose maps are to be judged.
        opinion: scores (B,H,W) of images (B,C,H,W), higher is more anomalous, such as a fitted baseline's
            ``predict(images).scores``; fitted to other images than these, or what is usual would look too small.

    Raises:
        ValueError: shapes that do not fit, or fewer than two images.
    """

    def __init__(self, observed: Tensor, residuals: Tensor, opinion: Callable[[Tensor], Tensor] | None = None) -> None:
        count, _, *size = observed.shape
        if tuple(residuals.shape) != (count, *size) or count < 2:
            raise ValueError(f"residuals {tuple(residuals.shape)}: must be (N,H,W) of N >= 2 images {(count, *size)}")
        self.residuals, self.opinion = residuals, opinion
        if opinion is not None:
            scores = opinion(observed)
            self.centre, self.spread = scores.mean(), scores.std()

    def unusual(self, residuals: Tensor, sigma: float) -> Tensor:
        """How many deviations the smoothed residuals of unsmoothed ones (B,H,W) lie above the clean ones' mean."""
        clean = smooth(self.residuals, sigma)
        mean, variance = smooth(torch.stack([clean.mean(0), clean.var(0)]), NEAR).to(residuals)
        deviation = variance.sqrt()
        return (smooth(residuals, sigma) - mean) / (deviation + FLOOR * deviation.mean())

    def judge(self, observed: Tensor, residuals: Tensor, sigma: float, second: bool) -> Tensor:
        """Scores (B,H,W) > 0 that rank as `unusual` does, or as its sum with the second opinion in its own deviations.

        Raises:
            ValueError: there is no second opinion.
        """
        score = self.unusual(residuals, sigma)
        if second:
            if self.opinion is None:
                raise ValueError("anomaly_map: kind='combined' needs CleanStatistics with an opinion")
            score = score + (self.opinion(observed) - self.centre) / self.spread
        return softplus(score)  # monotone, as scores are to be >= 0
