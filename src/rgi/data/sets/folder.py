"""A dataset from the user's own folders: test images, with or without masks and clean images."""

import os
from pathlib import Path

from rgi.data.files import Channels, FileSet, Resolution, Sample, images_by_stem, pair_with_masks
from rgi.errors import InputError
from rgi.validation import Name, Text, checked


class Folder(FileSet):
    """All images below a folder; their names are the paths below the folder without suffix.

    Args:
        root: folder of the test images, with or without subfolders.
        resolution: height and width in pixels to which images are resized.
        channels: number of channels, 1 (grey) or 3 (RGB).
        masks: folder of the masks, each with the name of its image and any suffix; values above 127 = corrupted. None
            for unknown masks.
        train: folder of clean images for training; it may be the same folder as ``root``. None for no clean images.
        category: name of the category in tables and file names; None for the name of the root folder.
    """

    name = "folder"
    terms = "The user's own images; this program does not know their terms."

    @checked("dataset")
    def __init__(
        self,
        root: Text,
        resolution: Resolution,
        channels: Channels,
        masks: Text | None = None,
        train: Text | None = None,
        category: Name | None = None,
    ) -> None:
        super().__init__(category or Path(os.path.abspath(root)).name, resolution, channels)
        self.root, self.masks, self.clean = root, masks, train

    def training_files(self) -> list[Path]:
        """The images below ``train``, sorted by name; empty without ``train``."""
        self._check_apart()
        if self.clean is None:
            return []
        return list(images_by_stem(self.clean, f"dataset.train={self.clean}").values())

    def samples(self) -> list[Sample]:
        """The images below ``root``, sorted by name."""
        self._check_apart()
        images = images_by_stem(self.root, f"dataset.root={self.root}")
        if self.masks is None:
            return [Sample(name, path) for name, path in images.items()]
        return pair_with_masks(images, images_by_stem(self.masks, f"dataset.masks={self.masks}"))

    def _check_apart(self) -> None:
        """Raise an error if masks or clean images are below the root, because all images there are test images."""
        root = Path(self.root).expanduser().resolve()
        for option, folder in (("masks", self.masks), ("train", self.clean)):
            if folder is None:
                continue
            other = Path(folder).expanduser().resolve()
            if other.is_relative_to(root) and (option, other) != ("train", root):
                raise InputError(
                    f"dataset.{option}={folder}: lies in dataset.root={self.root}, where every image is a test image; "
                    "name a folder outside dataset.root"
                )
