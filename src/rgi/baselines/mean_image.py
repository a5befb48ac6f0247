"""The mean of the clean images as the restoration of any image: what every other method has to beat."""

from torch import Tensor

from rgi.baselines.base import Baseline
from rgi.validation import checked


class MeanImage(Baseline):
    """Restores m = E[x]; the map is |x - m|.

    The difference is not divided by the pixels' deviations: the restorations of all methods are then judged by one
    rule, and a border that never varied cannot outshine a defect. `rgi.baselines.padim` is what weighs deviations.
    """

    min_images = 1

    @checked("baseline")
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None)

    def _fit(self, images: Tensor) -> None:
        self.mean = images.mean(0)

    def _restore(self, observed: Tensor) -> Tensor:
        return self.mean.repeat(len(observed), 1, 1, 1)
