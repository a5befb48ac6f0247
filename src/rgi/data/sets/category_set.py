"""Base class of datasets with the layout of MVTec AD: a folder per category, with good images, defects and masks."""

from pathlib import Path
from typing import Any

from rgi.data.files import Channels, FileSet, Resolution
from rgi.data.listing import Sample, expanded, images_by_stem, pair_with_masks
from rgi.errors import InputError
from rgi.validation import Name, Text, checked


class CategorySet(FileSet):
    """One category of a dataset; subclasses define the attributes.

    The folder ``root/<category>`` contains ``train/<good>``, ``test/<kind>`` and ``ground_truth/<kind>``. Test images
    are named ``<kind>/<stem>``. Images of ``test/<good>`` have an empty mask.

    Attributes:
        title: title of the dataset in error messages.
        source: instructions for the download, as the remedy in error messages.
        categories: categories of the published dataset.
        good: name of the folders of good images.
        mask_ending: text after the image's stem in the stem of a mask.

    Args:
        root: folder of the categories.
        category: name of the category's folder; folders outside ``categories`` are allowed.
        resolution: height and width in pixels to which images are resized.
        channels: number of channels, 1 (grey) or 3 (RGB).
        shared: further options of `FileSet`.
    """

    title: str
    source: str
    categories: tuple[str, ...]
    good: str
    mask_ending = ""

    @checked("dataset")
    def __init__(self, root: Text, category: Name, resolution: Resolution, channels: Channels, **shared: Any) -> None:
        super().__init__(category, resolution, channels, **shared)
        self.root = root

    def training_files(self) -> list[Path]:
        """The good images of ``train``, sorted by name."""
        return list(self._images(f"train/{self.good}").values())

    def samples(self) -> list[Sample]:
        """The images of ``test``, sorted by name."""
        images = self._images("test")
        masks = {stem.removesuffix(self.mask_ending): path for stem, path in self._images("ground_truth").items()}
        return pair_with_masks(images, masks, good=[name for name in images if name.startswith(f"{self.good}/")])

    def _images(self, part: str) -> dict[str, Path]:
        folder = self._home() / part
        return images_by_stem(folder, str(folder))

    def _home(self) -> Path:
        """The category's folder."""
        root = expanded(self.root)
        if not root.is_dir():
            raise InputError(f"dataset.root={self.root}: no such folder; {self.source}")
        home = root / self.category
        if not home.is_dir():
            folders = ", ".join(sorted(path.parent.name for path in root.glob("*/train"))) or "none"
            raise InputError(
                f"dataset.category={self.category}: not in dataset.root={self.root}, which has: {folders}; "
                f"choose one of them, or add a category of {self.title}: {', '.join(self.categories)}"
            )
        return home
