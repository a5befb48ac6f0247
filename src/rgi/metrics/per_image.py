"""One number per image, and what is said of all of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PerImage(Metric):
    """Mean, median and spread over the images of a test set of a function of each image.

    Images for which the function is NaN (no hole to look at, say) are left out and counted. Holds 8 bytes per image.

    Args:
        name: of the function, as in the results.
        of: two or more tensors (B,...) -> (B,).
    """

    full_state_update = False

    def __init__(self, name: str, function: Callable[..., Tensor], **options: Any) -> None:
        super().__init__(**options)
        self.name, self.function = name, function
        self.add_state("values", [], dist_reduce_fx="cat")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the states; a process without images joins the gathering with an empty tensor of it."""
        return torch.float64

    def update(self, *tensors: Tensor) -> None:
        """Add a batch, as the function takes it."""
        self.values.append(self.function(*tensors).double())

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars, the first three NaN where no image has a value.

        ``<name>``, the mean, infinite as soon as one value is; ``<name>_median``, of an even number the mean of the
        middle two; ``<name>_std``, of the population, NaN then; ``<name>_left_out``, images without a value.
        """
        parts = self.values if not isinstance(self.values, list) or self.values else [self._empty()]
        values = dim_zero_cat(parts)
        kept = values[~values.isnan()].sort().values
        middle = kept[(len(kept) - 1) // 2 : len(kept) // 2 + 1] if len(kept) else kept
        return {
            self.name: kept.mean(),
            f"{self.name}_median": middle.mean(),  # torch.quantile gives NaN between two infinities
            f"{self.name}_std": (kept - kept.mean()).square().mean().sqrt(),
            f"{self.name}_left_out": values.isnan().sum().double(),
        }

    def _empty(self) -> Tensor:
        return torch.empty(0, dtype=self.dtype, device=self.device)
