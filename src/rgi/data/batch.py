"""The batch of images that datasets return and methods take."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Batch:
    """Images with their masks and clean originals, if these are known.

    Attributes:
        observed: observed images (B,C,H,W) in [-1, 1]; values of corrupted pixels may lie outside [-1, 1].
        mask: true mask (B,1,H,W) in {0,1}, 1 = corrupted; None if it is unknown.
        clean: images (B,C,H,W) in [-1, 1] before the corruption; None if they are unknown.
        name: B names of images, unique in the dataset; "<kind>/<stem>" in datasets with several kinds of defect.
        category: B names of the dataset's category.
        defective: whether each image has a corrupted pixel (B,) of bool, decided before the mask is resized: a thin
            defect may vanish from a small mask. If it is not given, it follows from the mask; None without a mask.
        counted: region that counts (B,1,H,W) in {0,1}: other pixels change no score; None if all pixels count.
    """

    observed: Tensor
    mask: Tensor | None
    clean: Tensor | None
    name: list[str]
    category: list[str]
    defective: Tensor | None = None
    counted: Tensor | None = None

    def __post_init__(self) -> None:
        if self.defective is None and self.mask is not None:
            counted = self.mask if self.counted is None else self.mask * self.counted
            self.defective = counted.flatten(1).any(1)

    def __len__(self) -> int:
        return len(self.observed)

    def to(self, *args: object, **kwargs: object) -> "Batch":
        """A copy with the image tensors moved or cast; the arguments are those of `torch.Tensor.to`."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(*args, **kwargs)

        images = move(self.observed), move(self.mask), move(self.clean)
        defective = None if self.defective is None else self.defective.to(images[0].device)
        return Batch(*images, self.name, self.category, defective, move(self.counted))

    def select(self, indices: Sequence[int]) -> "Batch":
        """A batch of the images at these positions, in this order."""

        def take(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[list(indices)]

        names = [self.name[i] for i in indices]
        categories = [self.category[i] for i in indices]
        images = take(self.observed), take(self.mask), take(self.clean)
        return Batch(*images, names, categories, take(self.defective), take(self.counted))

    @staticmethod
    def collate(parts: Sequence["Batch"]) -> "Batch":
        """Join batches into one; what not all parts have, such as ``mask``, is None."""

        def join(tensors: list[Tensor | None]) -> Tensor | None:
            return None if any(t is None for t in tensors) else torch.cat(tensors)

        return Batch(
            torch.cat([part.observed for part in parts]),
            join([part.mask for part in parts]),
            join([part.clean for part in parts]),
            [name for part in parts for name in part.name],
            [category for part in parts for category in part.category],
            join([part.defective for part in parts]),
            join([part.counted for part in parts]),
        )
