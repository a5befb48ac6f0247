"""Any dataset for mask-free inpainting: its clean test images, corrupted in a known way."""

from functools import cache, cached_property

from torch.utils.data import Dataset

from rgi.data.batch import Batch
from rgi.data.corruptions.corruption import Corruption, FillImages
from rgi.data.files import FileSet
from rgi.data.protocol import ImageSet, TestSet
from rgi.data.sets.clean_set import CleanTestSet
from rgi.errors import InputError


class CorruptedSet:
    """A dataset whose test images are its clean ones, corrupted; all else is as it was.

    Clean are the images that the dataset gives no mask for but a clean original, those whose mask is empty, and those
    that it trains on. Images of which nothing is known are no truth to compare with, and left out with the defective
    ones.

    Args:
        images: the dataset.
        corruption: what is done to the test images.
    """

    def __init__(self, images: ImageSet, corruption: Corruption) -> None:
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
        self.corruption.check(test.names, self.resolution, test.fill_images)

    def test(self) -> "CorruptedTestSet":
        """The corrupted test images, each a `Batch` of one with its mask and clean original.

        Raises:
            InputError: no test image is known to be clean.
        """
        if not self._clean:
            raise InputError(
                f"dataset.category={self.category}: no test image is known to be clean, which is what a corruption "
                "needs; take another dataset, or of your own clean images name the folder as dataset.train, too"
            )
        return CorruptedTestSet(self.images.test(), self._clean, self.corruption, self.images.validation)

    @cached_property
    def _clean(self) -> list[int]:
        """Positions of the clean test images; found once, because most of them must be opened for it."""
        test = self.images.test()
        if isinstance(test, CleanTestSet):
            return list(range(len(test)))
        trained = {path.resolve() for path in self.images.training_files()} if isinstance(self.images, FileSet) else ()
        return [
            index
            for index in range(len(test))
            if (trained and test.samples[index].image.resolve() in trained) or _is_clean(test[index])
        ]


def _is_clean(batch: Batch) -> bool:
    return batch.clean is not None if batch.mask is None else not batch.mask.any()


class CorruptedTestSet(Dataset[Batch]):
    """Corrupted images, each a `Batch` of one.

    Args:
        tests: images, some of them clean.
        clean: positions of those.
        corruption: what is done to them.
        fill_images: see `FillImages`.

    Raises:
        InputError: images of two folders have one name, of which painted ones keep nothing else.
    """

    def __init__(self, tests: TestSet, clean: list[int], corruption: Corruption, fill_images: FillImages) -> None:
        self.tests, self.corruption, self.fill_images = tests, corruption, cache(fill_images)
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
        observed, mask = self.corruption(clean, name, self.fill_images)
        return Batch(observed, mask, clean, [name], source.category)
