"""What a corruption is: a function of a clean image, its name and a seed."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from rgi.validation import Seed, checked

FillImages = Callable[[], Dataset[Tensor]]  # clean images (C,H,W) of the same set that are not for testing


class Corruption(ABC):
    """What is done to a clean image: a function of the image, its name and the seed, whatever else is in the set.

    Args:
        seed: another one, other corruptions.

    Raises:
        InputError: the seed is no whole number, or out of range.
    """

    kinds: tuple[str, ...] = ()  # each image appears once with every kind, which its name then begins with

    @checked("corruption")
    def __init__(self, seed: Seed) -> None:
        self.seed = seed

    @abstractmethod
    def __call__(self, clean: Tensor, name: str, fill_images: FillImages) -> tuple[Tensor, Tensor]:
        """The corrupted image (1,C,H,W) of a clean one in [-1, 1], and the true mask (1,1,H,W) in {0, 1}."""

    def check(self, names: Sequence[str], resolution: int, fill_images: FillImages) -> None:  # noqa: B027
        """Look for what can be wrong with the corruption of these images.

        Raises:
            InputError: something is.
        """

    def random_generator(self, name: str, stream: int = 0) -> np.random.Generator:
        """For an image; each use has a stream of its own, so that another content leaves the region as it is."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), stream])
