"""Any dataset for mask-free inpainting: its clean test images, corrupted in a known way."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rgi.data import defects
from rgi.data.batch import Batch
from rgi.data.clean import CleanTests
from rgi.data.files import FileSet
from rgi.errors import InputError

if TYPE_CHECKING:  # that module loads Lightning
    from rgi.data.module import ImageSet, TestSet

Others = Callable[[], Dataset[Tensor]]  # clean images (C,H,W) of the same set that are not for testing


class Corruption(ABC):
    """What is done to a clean image: a function of the image, its name and the seed, whatever else is in the set.

    Args:
        seed: another one, other corruptions.

    Raises:
        InputError: the seed is no whole number of at least 0.
    """

    kinds: tuple[str, ...] = ()  # each image appears once with every kind, which its name then begins with

    def __init__(self, seed: int) -> None:
        if type(seed) is not int or seed < 0:
            raise InputError(f"corruption.seed={seed}: must be a whole number of at least 0")
        self.seed = seed

    @abstractmethod
    def __call__(self, clean: Tensor, name: str, others: Others) -> tuple[Tensor, Tensor]:
        """The corrupted image (1,C,H,W) of a clean one in [-1, 1], and the true mask (1,1,H,W) in {0, 1}."""

    def check(self, names: Sequence[str], resolution: int, others: Others) -> None:  # noqa: B027
        """Look for what can be wrong with the corruption of these images.

        Raises:
            InputError: something is.
        """

    def randomness(self, name: str, use: int = 0) -> np.random.Generator:
        """For an image; each use has a stream of its own, so that another content leaves the region as it is."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), use])


class Defects(Corruption):
    """The defects of `rgi.data.defects`; every image is painted once with each kind.

    Args:
        kinds: of `rgi.data.defects.PAINTERS`.
        contrast: the least and the largest distance of a defect from its surroundings, in standard deviations of the
            image.
        seed: see `Corruption`.

    Raises:
        InputError: an unknown or repeated kind, or an impossible contrast.
    """

    def __init__(self, kinds: Sequence[str], contrast: Sequence[float], seed: int) -> None:
        super().__init__(seed)
        if not _listed(kinds) or not kinds or len(set(kinds)) < len(kinds) or set(kinds) - defects.PAINTERS.keys():
            raise InputError(f"corruption.kinds={kinds}: must be a list of some of {', '.join(defects.PAINTERS)}")
        numbers = _listed(contrast) and len(contrast) == 2 and all(type(value) in (int, float) for value in contrast)
        if not (numbers and 0 < contrast[0] <= contrast[1] < inf):
            raise InputError(f"corruption.contrast={contrast}: must be two numbers above 0, like [1,3]")
        self.kinds, self.contrast = tuple(kinds), tuple(contrast)

    def __call__(self, clean: Tensor, name: str, others: Others) -> tuple[Tensor, Tensor]:
        """Paint the kind that the name begins with."""
        rng = self.randomness(name)
        observed, mask = defects.paint(clean[0].numpy(), name.partition("/")[0], rng.uniform(*self.contrast), rng)
        return torch.from_numpy(observed)[None], torch.from_numpy(mask)[None]


def _listed(value: Sequence) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


class Corrupted:
    """A dataset whose test images are its clean ones, corrupted; all else is as it was.

    Clean are the images that the dataset gives no mask for but a clean original, those whose mask is empty, and those
    that it trains on. Images of which nothing is known are no truth to compare with, and left out with the defective
    ones.

    Args:
        images: the dataset.
        corruption: what is done to the test images.
    """

    def __init__(self, images: "ImageSet", corruption: Corruption) -> None:
        self.images, self.corruption = images, corruption
        self.name, self.category, self.terms = images.name, images.category, images.terms
        self.channels, self.resolution = images.channels, images.resolution
        self.train, self.validation = images.train, images.validation

    def prepare(self) -> None:
        """Check the dataset, and its corruption.

        Raises:
            InputError: either is wrong, or no test image is known to be clean.
        """
        self.images.prepare()
        test = self.test()
        self.corruption.check(test.names, self.resolution, test.others)

    def test(self) -> "CorruptedTests":
        """The corrupted test images, each a `Batch` of one with its mask and clean original.

        Raises:
            InputError: no test image is known to be clean.
        """
        if not self._clean:
            raise InputError(
                f"dataset.category={self.category}: no test image is known to be clean, which is what a corruption "
                "needs; take another dataset, or of your own clean images name the folder as dataset.train, too"
            )
        return CorruptedTests(self.images.test(), self._clean, self.corruption, self.images.validation)

    @cached_property
    def _clean(self) -> list[int]:
        """Positions of the clean test images; found once, because most of them must be opened for it."""
        test = self.images.test()
        if isinstance(test, CleanTests):
            return list(range(len(test)))
        trained = {path.resolve() for path in self.images.training_files()} if isinstance(self.images, FileSet) else ()
        return [
            index
            for index in range(len(test))
            if (trained and test.samples[index].image.resolve() in trained) or _is_clean(test[index])
        ]


def _is_clean(batch: Batch) -> bool:
    return batch.clean is not None if batch.mask is None else not batch.mask.any()


class CorruptedTests(Dataset[Batch]):
    """Corrupted images, each a `Batch` of one.

    Args:
        tests: images, some of them clean.
        clean: positions of those.
        corruption: what is done to them.
        others: see `Others`.

    Raises:
        InputError: images of two folders have one name, of which painted ones keep nothing else.
    """

    def __init__(self, tests: "TestSet", clean: list[int], corruption: Corruption, others: Others) -> None:
        self.tests, self.corruption, self.others = tests, corruption, cache(others)
        found = [(tests.names[index], index) for index in clean]
        if corruption.kinds:
            found = [(f"{kind}/{name.rpartition('/')[2]}", index) for kind in corruption.kinds for name, index in found]
        self.names, self.positions = ([*column] for column in zip(*found, strict=True))
        if len(set(self.names)) < len(self.names):
            double = next(name for name in self.names if self.names.count(name) > 1)
            pair = [tests.names[index] for name, index in found if name == double][:2]
            raise InputError(f"{' and '.join(pair)}: would both be called {double}; rename one of these test images")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Batch:
        name, source = self.names[index], self.tests[self.positions[index]]
        clean = source.observed if source.clean is None else source.clean
        observed, mask = self.corruption(clean, name, self.others)
        return Batch(observed, mask, clean, [name], source.category)
