"""The interface of datasets: clean images for training, and test images in a fixed order."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from rgi.data.batch import Batch


class ImageSet(Protocol):
    """A dataset; all classes of `rgi.data.sets` have this interface.

    Attributes:
        name: name of the dataset.
        category: category of the images; tables and file names show it.
        channels: number of channels C, 1 or 3.
        resolution: height and width of the images in pixels.
        patch: side in pixels of the square of a picture that a training image shows; 0 for whole pictures.
        terms: terms of use of the images, in one sentence.
        note: what a reader of the scores must know about the images; empty for nothing.
        counted: region of the clean images that counts, (1,H,W) in {0,1}; None if all pixels count.
    """

    name: str
    category: str
    channels: int
    resolution: int
    patch: int
    terms: str
    note: str
    counted: Tensor | None

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """Check data before work starts.

        Args:
            training: whether all clean images are checked; otherwise, of many, `check_selected` checks those in use.
            tests: whether the test images are checked.

        Raises:
            InputError: a file is missing or wrong.
        """

    def train(self) -> Dataset[Tensor]:
        """Clean training images (C,H,W) in [-1, 1]."""

    def validation(self) -> Dataset[Tensor]:
        """Clean images (C,H,W) in [-1, 1] that are held out from training."""

    def test(self) -> "TestSet":
        """Test images, each a `Batch` of one."""


class TestSet(Protocol):
    """Test images in a fixed order, each a `Batch` of one.

    Attributes:
        names: names of the images, in their order.
        equal_sizes: whether all images have the size of the dataset, so that they make batches.
    """

    __test__ = False  # pytest would take the class for a test case

    names: list[str]
    equal_sizes: bool

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...


def evenly_spaced(count: int, limit: int | None) -> list[int]:
    """Evenly spaced positions in a sequence, in ascending order.

    Args:
        count: length of the sequence.
        limit: maximal number of positions; None for all positions.
    """
    if limit is None or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def selected(images: Dataset[Tensor], positions: Sequence[int]) -> Dataset[Tensor]:
    """The clean images at these positions; images of many files are decoded without the others.

    Args:
        images: dataset of images (C,H,W).
        positions: positions in the dataset.
    """
    return images.choose(positions) if hasattr(images, "choose") else Subset(images, positions)


def check_selected(images: Dataset[Tensor], positions: Sequence[int]) -> None:
    """Check the files of the clean images at these positions, before `selected` decodes them.

    Args:
        images: dataset of images (C,H,W).
        positions: positions in the dataset.

    Raises:
        InputError: a file is wrong.
    """
    if hasattr(images, "check_files"):
        images.check_files(positions)


def stack_images(images: Dataset[Tensor], limit: int | None = None) -> Tensor:
    """Evenly spaced images of a dataset as one tensor (N,C,H,W).

    Args:
        images: dataset of images (C,H,W).
        limit: maximal number of images; None for all images.
    """
    chosen = selected(images, evenly_spaced(len(images), limit))
    return torch.stack([chosen[i] for i in range(len(chosen))])
