"""Datasets for inpainting: the clean test images of a dataset, corrupted with known masks."""

from functools import cache, cached_property

from torch.utils.data import Dataset

from rgi.data.batch import Batch
from rgi.data.corruptions.corruption import Corruption, FillImages
from rgi.data.files import FileSet
from rgi.data.protocol import ImageSet, TestSet
from rgi.data.sets.clean_set import CleanTestSet
from rgi.errors import InputError

PATCH_STREAM = 2  # stream of `Corruption.random_generator`


class CorruptedSet:
    """A dataset with corrupted copies of its clean test images; training and validation images do not change.

    A test image is clean if it has a clean original and no mask, if its mask is empty, or if it is also a training
    image. All other test images are left out.

    Args:
        images: dataset with clean test images.
        corruption: corruption of the test images.
    """

    def __init__(self, images: ImageSet, corruption: Corruption) -> None:
        self.images, self.corruption = images, corruption
        self.name, self.category, self.terms = images.name, images.category, images.terms
        self.channels, self.resolution, self.patch = images.channels, images.resolution, images.patch
        self.train, self.validation, self.counted = images.train, images.validation, images.counted

    @property
    def note(self) -> str:
        """What a reader of the scores must know about the images."""
        return self.images.note

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """Check the dataset and the corruption; arguments as for `ImageSet.prepare`.

        Raises:
            InputError: the dataset or the corruption is wrong, or no test image is known to be clean.
        """
        self.images.prepare(training, tests)
        test = self.test()
        self.corruption.check(test.names, self.resolution, test.fill_images)

    def test(self) -> "CorruptedTestSet":
        """The corrupted test images, each a `Batch` of one with its mask and clean original.

        Raises:
            InputError: no test image is known to be clean.
        """
        if not self._clean:
            raise InputError(
                f"dataset.category={self.category}: no test image is known to be clean, and a corruption needs clean "
                "test images; choose another dataset, or set dataset.train to the folder of your own clean images"
            )
        tests, validation = self.images.test(), self.images.validation
        return CorruptedTestSet(tests, self._clean, self.corruption, validation, self.resolution)

    @cached_property
    def _clean(self) -> list[int]:
        """Positions of the clean test images; cached, because the search opens the masks."""
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
    return batch.clean is not None if batch.defective is None else not batch.defective.any()


class CorruptedTestSet(Dataset[Batch]):
    """Corrupted test images, each a `Batch` of one.

    Args:
        tests: test images.
        clean: positions of the clean images among the test images.
        corruption: corruption of the clean images.
        fill_images: function that returns clean images for holes with ``fill="image"``.
        resolution: height and width in pixels; of pictures of several sizes, one random patch of this size is
            corrupted. None if all test images have one size.

    Raises:
        InputError: two images of different folders have the same name, so their painted copies would, too.
    """

    equal_sizes = True

    def __init__(
        self,
        tests: TestSet,
        clean: list[int],
        corruption: Corruption,
        fill_images: FillImages,
        resolution: int | None = None,
    ) -> None:
        self.tests, self.corruption, self.fill_images = tests, corruption, cache(fill_images)
        self.resolution = resolution
        entries = [(tests.names[index], index) for index in clean]
        if corruption.kinds:
            stems = [(name.rpartition("/")[2], index) for name, index in entries]
            entries = [(f"{kind}/{stem}", index) for kind in corruption.kinds for stem, index in stems]
        self.names, self.positions = ([*column] for column in zip(*entries, strict=True))
        if len(set(self.names)) < len(self.names):
            duplicate = next(name for name in self.names if self.names.count(name) > 1)
            pair = [tests.names[index] for name, index in entries if name == duplicate][:2]
            raise InputError(f"{' and '.join(pair)}: would both have the name {duplicate}; rename one of these images")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Batch:
        name, source = self.names[index], self.tests[self.positions[index]]
        clean = source.observed if source.clean is None else source.clean
        counted = source.counted
        if not self.tests.equal_sizes:
            rng = self.corruption.random_generator(name, PATCH_STREAM)
            top, left = (int(rng.integers(length - self.resolution + 1)) for length in clean.shape[-2:])
            place = ..., slice(top, top + self.resolution), slice(left, left + self.resolution)
            clean, counted = clean[place].clone(), None if counted is None else counted[place]
        observed, mask = self.corruption(clean, name, self.fill_images)
        return Batch(observed, mask, clean, [name], source.category, None, counted)
