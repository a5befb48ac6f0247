"""Mean, median and standard deviation of a score over the images of a test set."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PerImage(Metric):
    """Mean, median and standard deviation over all images of a score of each image.

    Images with the score NaN, such as images without a hole, are left out and counted. The metric stores 8 bytes per
    image.

    Args:
        name: name of the score in the results.
        function: function from tensors (B,...) to scores (B,).
    """

    full_state_update = False

    def __init__(self, name: str, function: Callable[..., Tensor], **options: Any) -> None:
        super().__init__(**options)
        self.name, self.function = name, function
        self.add_state("values", [], dist_reduce_fx="cat")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the states. A process without images sends an empty tensor of this type to the other processes."""
        return torch.float64

    def update(self, *tensors: Tensor) -> None:
        """Add the scores of a batch.

        Args:
            tensors: arguments (B,...) of the function.
        """
        self.values.append(self.function(*tensors).double())

    def compute(self) -> dict[str, Tensor]:
        """Statistics of the scores without NaN, as float64 scalars.

        Returns:
            <name>: mean; infinite if one score is infinite.
            <name>_median: median; for an even number of scores the mean of the middle two.
            <name>_std: population standard deviation; NaN if one score is infinite.
            <name>_left_out: number of images with the score NaN.
            The first three are NaN if no image has a score.
        """
        parts = self.values if not isinstance(self.values, list) or self.values else [self._empty()]
        values = dim_zero_cat(parts)
        kept = values[~values.isnan()].sort().values
        middle = kept[(len(kept) - 1) // 2 : len(kept) // 2 + 1] if len(kept) else kept
        return {
            self.name: kept.mean(),
            f"{self.name}_median": middle.mean(),  # torch.quantile would return NaN between two infinities
            f"{self.name}_std": (kept - kept.mean()).square().mean().sqrt(),
            f"{self.name}_left_out": values.isnan().sum().double(),
        }

    def _empty(self) -> Tensor:
        return torch.empty(0, dtype=self.dtype, device=self.device)
