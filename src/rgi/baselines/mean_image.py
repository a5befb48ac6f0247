"""The simplest baseline: the mean of the clean images is the restoration of every image."""

from torch import Tensor

from rgi.baselines.base import Baseline, CleanImages
from rgi.validation import checked


class MeanImage(Baseline):
    """Mean image m of the clean images; the pixel scores are |x - m|.

    The scores are not divided by the standard deviation of each pixel: a constant border would have very high scores,
    and the other methods do not divide either. `rgi.baselines.padim` normalises by the covariance.
    """

    min_images = 1

    @checked("baseline")
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None)

    def _fit(self, clean: CleanImages) -> None:
        images = clean.stacked()
        self.mean = images.mean(0)

    def _restore(self, observed: Tensor) -> Tensor:
        return self.mean.repeat(len(observed), 1, 1, 1)
