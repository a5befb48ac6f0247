"""What a dataset offers: clean images to learn from, and test images in a fixed order."""

from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rgi.data.batch import Batch


class ImageSet(Protocol):
    """A dataset; every class of `rgi.data.sets` is one."""

    name: str
    category: str
    channels: int
    resolution: int
    terms: str

    def prepare(self) -> None:
        """Check everything that can be wrong with the data, before any work."""

    def train(self) -> Dataset[Tensor]:
        """Clean images (C,H,W) in [-1, 1] to train a generator on."""

    def validation(self) -> Dataset[Tensor]:
        """Clean images that training never sees."""

    def test(self) -> "TestSet":
        """Test images, each a `Batch` of one."""


class TestSet(Protocol):
    """Test images in a fixed order."""

    __test__ = False  # pytest would take the class for a test case

    names: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...


def evenly_spaced(count: int, limit: int | None) -> list[int]:
    """At most ``limit`` positions out of ``count``, evenly spread; None takes all."""
    if limit is None or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def stack_images(images: Dataset[Tensor], limit: int | None = None) -> Tensor:
    """Images (N,C,H,W) of a dataset, at most ``limit``, evenly spread; None takes all."""
    return torch.stack([images[i] for i in evenly_spaced(len(images), limit)])
