"""What every dataset yields and every method takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Batch:
    """Images in [-1, 1] with whatever is known of their corruption.

    Attributes:
        observed: (B,C,H,W), possibly corrupted; values may leave [-1, 1] where they are.
        mask: (B,1,H,W) in {0,1}, 1 = corrupted, or None where nobody knows.
        clean: (B,C,H,W) before the corruption, or None.
        name: B names, unique in the dataset, "<kind>/<stem>" where images come in kinds (of defect, say).
        category: B names of the dataset's category.
    """

    observed: Tensor
    mask: Tensor | None
    clean: Tensor | None
    name: list[str]
    category: list[str]

    def __len__(self) -> int:
        return len(self.observed)

    def to(self, *args: object, **kwargs: object) -> "Batch":
        """A copy with the tensors moved or cast, as `torch.Tensor.to`."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(*args, **kwargs)

        return Batch(move(self.observed), move(self.mask), move(self.clean), self.name, self.category)

    def select(self, indices: Sequence[int]) -> "Batch":
        """The images at these positions, in this order."""

        def take(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[list(indices)]

        names = [self.name[i] for i in indices]
        categories = [self.category[i] for i in indices]
        return Batch(take(self.observed), take(self.mask), take(self.clean), names, categories)

    @staticmethod
    def collate(parts: Sequence["Batch"]) -> "Batch":
        """One batch of several; ``mask`` and ``clean`` stay only if every part has them."""

        def join(tensors: list[Tensor | None]) -> Tensor | None:
            return None if any(t is None for t in tensors) else torch.cat(tensors)

        return Batch(
            torch.cat([part.observed for part in parts]),
            join([part.mask for part in parts]),
            join([part.clean for part in parts]),
            [name for part in parts for name in part.name],
            [category for part in parts for category in part.category],
        )
