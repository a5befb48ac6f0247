"""A dataset from the user's own folders: test images, with or without masks and clean images."""

from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

from rgi.data.files import Channels, FileSet, Resolution
from rgi.data.listing import Sample, expanded, folders_name, images_by_stem, pair_with_masks
from rgi.data.protocol import evenly_spaced
from rgi.errors import InputError
from rgi.validation import Count, Name, Text, checked


class Folder(FileSet):
    """All images below a folder; their names are the paths below the folder without suffix.

    Args:
        root: folder of the test images, with or without subfolders. None for no test images: clean images suffice to
            train a generator.
        resolution: height and width in pixels to which images are resized.
        channels: number of channels, 1 (grey) or 3 (RGB).
        masks: folder of the masks, each with the name of its image and any suffix; values above 127 = corrupted. None
            for unknown masks.
        train: folder of clean images for training; it may be the same folder as ``root``. None for no clean images.
        category: name of the category in tables and file names; None for the name of the folder, see `folders_name`.
        test_images: number of test images, evenly spaced; None for all test images.
        shared: further options of `FileSet`.
    """

    name = "folder"
    terms = "The user's own images; this program does not know their terms."

    @checked("dataset")
    def __init__(
        self,
        root: Text | None,
        resolution: Resolution,
        channels: Channels,
        masks: Text | None = None,
        train: Text | None = None,
        category: Name | None = None,
        test_images: Count | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(folders_name(root, train) if category is None else category, resolution, channels, **shared)
        self.root, self.masks, self.clean, self.test_images = root, masks, train, test_images

    def training_files(self) -> list[Path]:
        """The images below ``train``, sorted by name; empty without ``train``."""
        return self._training_files

    def samples(self) -> list[Sample]:
        """At most ``test_images`` images below ``root``, sorted by name."""
        return self._samples

    @cached_property
    def _training_files(self) -> list[Path]:
        self._check_apart()
        if self.clean is None:
            return []
        return list(images_by_stem(self.clean, f"dataset.train={self.clean}").values())

    @cached_property
    def _samples(self) -> list[Sample]:
        self._check_apart()
        if self.root is None:
            raise InputError("dataset.root: not given; add dataset.root=...")
        images = images_by_stem(self.root, f"dataset.root={self.root}")
        if self.masks is None:
            samples = [Sample(name, path) for name, path in images.items()]
        else:
            samples = pair_with_masks(images, images_by_stem(self.masks, f"dataset.masks={self.masks}"))
        return [samples[i] for i in evenly_spaced(len(samples), self.test_images)]

    def _check_apart(self) -> None:
        """Raise an error if one of the folders lies in another, because all images below a folder have its use.

        The one exception: ``train`` may be the root itself, whose images are then trained and tested on.
        """
        options = {"root": self.root, "masks": self.masks, "train": self.clean}
        folders = {option: expanded(folder).resolve() for option, folder in options.items() if folder}
        for (option, inner), (other, outer) in permutations(folders.items(), 2):
            same_images = {option, other} == {"root", "train"} and inner == outer
            if inner.is_relative_to(outer) and not same_images:
                raise InputError(
                    f"dataset.{option}={options[option]}: lies in dataset.{other}={options[other]}, and all images "
                    f"there count as dataset.{other}; name folders that lie side by side"
                )
