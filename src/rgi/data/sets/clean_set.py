"""Base class of datasets of clean images for inpainting; `CorruptedSet` corrupts the test images."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rgi.data.batch import Batch
from rgi.data.files import HOLD_OUT_INTERVAL, Channels, FileSet, Resolution, TestImages
from rgi.data.listing import Sample, expanded, images_by_stem
from rgi.data.protocol import evenly_spaced
from rgi.errors import InputError
from rgi.validation import Count, Name, Text, checked


@dataclass(frozen=True)
class Parts:
    """The split of a dataset; no image is in two parts.

    Attributes:
        train: files of training images.
        validation: files of validation images.
        test: files of test images.
    """

    train: list[Path] = field(default_factory=list)
    validation: list[Path] = field(default_factory=list)
    test: list[Path] = field(default_factory=list)


def by_number(numbered: Iterable[tuple[int, Path]]) -> Parts:
    """Split files by the last digit of a number: 0 for validation, 9 for testing, other digits for training.

    Args:
        numbered: pairs of number and file.
    """
    parts = Parts()
    held_out = {0: parts.validation, HOLD_OUT_INTERVAL - 1: parts.test}
    for number, path in numbered:
        held_out.get(number % HOLD_OUT_INTERVAL, parts.train).append(path)
    return parts


class CleanSet(FileSet):
    """A dataset of clean images; the names of images are the stems of their files.

    The split depends on the position in the sorted list, which begins at 1 (see `by_number`).

    Attributes:
        page: address of the download page.
        subfolder: folder of the images in the published archive. If ``root`` has no such folder, the images are in
            ``root`` itself.

    Args:
        root: folder of the dataset.
        category: name of the category in tables and file names.
        resolution: height and width in pixels to which images are resized, without keeping the aspect ratio.
        channels: number of channels, 1 (grey) or 3 (RGB).
        test_images: number of test images, evenly spaced; None for all test images.
        shared: further options of `FileSet`.

    Raises:
        InputError: an option is out of range.
    """

    page: str
    subfolder = ""

    @checked("dataset")
    def __init__(
        self,
        root: Text,
        category: Name,
        resolution: Resolution,
        channels: Channels,
        test_images: Count | None,
        **shared: Any,
    ) -> None:
        super().__init__(category, resolution, channels, **shared)
        self.root, self.test_images = root, test_images

    def files(self) -> list[Path]:
        """All images of the dataset, also in subfolders, sorted by their stems.

        Raises:
            InputError: the folder does not exist or has no images, or two images have the same stem.
        """
        root = expanded(self.root)
        if not root.is_dir():
            raise InputError(f"dataset.root={self.root}: no such folder; download the images from {self.page}")
        folder = root / self.subfolder
        images = images_by_stem(folder if folder.is_dir() else root, f"dataset.root={self.root}")
        stems: dict[str, Path] = {}
        for path in images.values():
            other = stems.setdefault(path.stem, path)
            if other != path:  # copies of an image could be in training and in testing
                raise InputError(f"{path}: has the same name as {other}; remove or rename one of the two files")
        return [path for _, path in sorted(stems.items())]

    def parts(self, files: list[Path]) -> Parts:
        """The split of the files; it depends only on their names."""
        return by_number(enumerate(files, start=1))

    def training_files(self) -> list[Path]:
        """Files of the training and validation images."""
        return self._parts.train + self._parts.validation

    def split(self, files: list[Path]) -> tuple[list[Path], list[Path]]:
        """The training files and the validation files, see `parts`."""
        return self._parts.train, self._parts.validation

    def samples(self) -> list[Sample]:
        """At most ``test_images`` test images, sorted by name."""
        files = self._parts.test
        return [Sample(files[i].stem, files[i]) for i in evenly_spaced(len(files), self.test_images)]

    def test(self) -> "CleanTestSet":
        """The test images in the order of `samples`, each a `Batch` of one."""
        return CleanTestSet(self, self.samples())

    @cached_property
    def _parts(self) -> Parts:
        """The split; cached, because a dataset may have millions of files."""
        files = self.files()
        parts = self.parts(files)
        if not (parts.train and parts.validation and parts.test):
            raise InputError(
                f"dataset.root={self.root}: {len(files)} images are too few for training, validation and testing; "
                f"get more images from {self.page}"
            )
        return parts


class CleanTestSet(TestImages):
    """Clean test images, each a `Batch` of one; ``observed`` and ``clean`` are equal."""

    def __getitem__(self, index: int) -> Batch:
        batch = super().__getitem__(index)
        return replace(batch, clean=batch.observed.clone())
