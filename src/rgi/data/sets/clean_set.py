"""Sets of clean images alone, for inpainting: somebody else corrupts the test images, which are the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from rgi.data.batch import Batch
from rgi.data.files import (
    HOLD_OUT_INTERVAL,
    Channels,
    FileSet,
    Resolution,
    Sample,
    TestImages,
    images_by_stem,
)
from rgi.errors import InputError
from rgi.validation import Count, Name, Text, checked


@dataclass(frozen=True)
class Parts:
    """Who gets which images; no image is in two parts."""

    train: list[Path] = field(default_factory=list)
    validation: list[Path] = field(default_factory=list)
    test: list[Path] = field(default_factory=list)


def by_number(numbered: Iterable[tuple[int, Path]]) -> Parts:
    """Of each ten numbers, the tenth (..0) is for validation, the ninth (..9) for testing, the rest for training."""
    parts = Parts()
    held_out = {0: parts.validation, HOLD_OUT_INTERVAL - 1: parts.test}
    for number, path in numbered:
        held_out.get(number % HOLD_OUT_INTERVAL, parts.train).append(path)
    return parts


class CleanSet(FileSet):
    """Clean images, named by their stems and split by their position among the sorted names (see `by_number`).

    Attributes:
        page: where the set is downloaded from.
        subfolder: the folder of the images in the published archive; where it is missing, they lie in ``root`` itself.

    Args:
        root: the folder of the set.
        category: what to call the set.
        resolution: pixels of the square that images are resized to, aspect not kept.
        channels: 1 (grey) or 3 (RGB).
        test_images: test on so many, spread evenly over all test images; None takes all.

    Raises:
        InputError: an option out of range.
    """

    page: str
    subfolder = ""

    @checked("dataset")
    def __init__(
        self, root: Text, category: Name, resolution: Resolution, channels: Channels, test_images: Count | None
    ) -> None:
        super().__init__(category, resolution, channels)
        self.root, self.test_images = root, test_images

    def files(self) -> list[Path]:
        """All images of the set, at any depth below its folder, sorted by their stems.

        Raises:
            InputError: no folder, no images, or two of one stem.
        """
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise InputError(f"dataset.root={self.root}: no such folder; download the images from {self.page}")
        folder = root / self.subfolder
        found = images_by_stem(folder if folder.is_dir() else root, f"dataset.root={self.root}")
        stems: dict[str, Path] = {}
        for path in found.values():
            other = stems.setdefault(path.stem, path)
            if other != path:  # a copy: one of them might be trained on and the other tested
                raise InputError(f"{path}: has the name of {other}; remove or rename one of them")
        return [path for _, path in sorted(stems.items())]

    def parts(self, files: list[Path]) -> Parts:
        """The images, divided; a function of their names alone."""
        return by_number(enumerate(files, start=1))

    def training_files(self) -> list[Path]:
        """All images that are not for testing."""
        return self._parts.train + self._parts.validation

    def split(self, files: list[Path]) -> tuple[list[Path], list[Path]]:
        """The images to train on, and those for validation."""
        return self._parts.train, self._parts.validation

    def samples(self) -> list[Sample]:
        """The test images, sorted by name, as many as asked for."""
        found = self._parts.test
        count = min(self.test_images or len(found), len(found))
        chosen = [found[i * len(found) // count] for i in range(count)]
        return [Sample(path.stem, path) for path in chosen]

    def test(self) -> "CleanTestSet":
        """The test images, each a `Batch` of one."""
        return CleanTestSet(self.samples(), self.category, self.channels, self.resolution, self.box)

    @cached_property
    def _parts(self) -> Parts:
        """Listed once: a published set may have millions of files."""
        files = self.files()
        parts = self.parts(files)
        if not (parts.train and parts.validation and parts.test):
            raise InputError(
                f"dataset.root={self.root}: {len(files)} images are too few to hold some out for validation and for "
                f"testing; get more from {self.page}"
            )
        return parts


class CleanTestSet(TestImages):
    """Test images without any corruption, each a `Batch` of one: ``observed`` is a copy of ``clean``."""

    def __getitem__(self, index: int) -> Batch:
        batch = super().__getitem__(index)
        return replace(batch, clean=batch.observed.clone())
