"""Anyone's own images: a folder to test on, with or without masks and clean images."""

import os
from pathlib import Path

from rgi.data.files import Channels, FileSet, Resolution, Sample, images_by_stem, pair_with_masks
from rgi.errors import InputError
from rgi.validation import Name, Text, checked


class Folder(FileSet):
    """Images below a folder, named by their path in it without the suffix.

    Args:
        root: the images to test on, in subfolders or not.
        resolution: pixels of the square that images are resized to.
        channels: 1 (grey) or 3 (RGB).
        masks: where each image's mask lies under the image's name, of any suffix; nonzero (above 127) = corrupted.
        train: clean images. Those of ``root`` itself, if it is named here too, are trained and tested on alike.
        category: what to call the set; the name of the root folder if not given.
    """

    name = "folder"
    terms = "The user's own images; their terms are not known to this program."

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
        """The images below ``train``, sorted by name."""
        self._check_apart()
        if self.clean is None:
            return []
        return list(images_by_stem(self.clean, f"dataset.train={self.clean}").values())

    def samples(self) -> list[Sample]:
        """The images below ``root``, sorted by name; their masks are unknown without ``masks``."""
        self._check_apart()
        images = images_by_stem(self.root, f"dataset.root={self.root}")
        if self.masks is None:
            return [Sample(name, path) for name, path in images.items()]
        return pair_with_masks(images, images_by_stem(self.masks, f"dataset.masks={self.masks}"))

    def _check_apart(self) -> None:
        """Everything below the root is a test image, so that masks and clean images must lie elsewhere."""
        root = Path(self.root).expanduser().resolve()
        for option, folder in (("masks", self.masks), ("train", self.clean)):
            if folder is None:
                continue
            other = Path(folder).expanduser().resolve()
            if other.is_relative_to(root) and (option, other) != ("train", root):
                raise InputError(
                    f"dataset.{option}={folder}: lies in dataset.root={self.root}, where every image is a test image; "
                    "name folders that lie side by side"
                )
