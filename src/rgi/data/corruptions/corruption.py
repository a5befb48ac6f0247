"""The base class of corruptions: a corruption is a function of a clean image, its name and a seed."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from rgi.validation import Seed, checked

FillImages = Callable[[], Dataset[Tensor]]  # returns clean images (C,H,W) whose pixels can fill holes


class Corruption(ABC):
    """A corruption of clean images.

    The result depends only on the image, its name and the seed. Other images of the dataset do not change the result.

    Attributes:
        kinds: kinds of defect. Each image appears once with each kind, and its name begins with the kind. Empty for
            corruptions without kinds.

    Args:
        seed: seed of all random choices.

    Raises:
        InputError: the seed is not a whole number or is out of range.
    """

    kinds: tuple[str, ...] = ()

    @checked("corruption")
    def __init__(self, seed: Seed) -> None:
        self.seed = seed

    @abstractmethod
    def __call__(self, clean: Tensor, name: str, fill_images: FillImages) -> tuple[Tensor, Tensor]:
        """Corrupt an image.

        Args:
            clean: clean image (1,C,H,W) in [-1, 1].
            name: name of the image.
            fill_images: function that returns clean images for holes with ``fill="image"``.

        Returns:
            The corrupted image (1,C,H,W) and the true mask (1,1,H,W) in {0, 1}, 1 = corrupted.
        """

    def check(self, names: Sequence[str], resolution: int, fill_images: FillImages) -> None:  # noqa: B027
        """Check the corruption before work starts.

        Args:
            names: names of the images.
            resolution: height and width of the images in pixels.
            fill_images: function that returns clean images for holes with ``fill="image"``.

        Raises:
            InputError: the images cannot be corrupted.
        """

    def random_generator(self, name: str, stream: int = 0) -> np.random.Generator:
        """Random numbers for one image.

        Args:
            name: name of the image.
            stream: number of an independent stream; with separate streams, another content of a hole does not change
                its region.
        """
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), stream])
