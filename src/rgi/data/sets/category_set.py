"""Sets in the layout that MVTec AD introduced: a folder per category, with good images, defects and their masks."""

from pathlib import Path

from rgi.data.files import Channels, FileSet, Resolution, Sample, images_by_stem, pair_with_masks
from rgi.errors import InputError
from rgi.validation import Name, Text, checked


class CategorySet(FileSet):
    """One category of a set; a subclass says of which.

    ``root/<category>/`` holds ``train/<good>``, ``test/<kind>`` and ``ground_truth/<kind>``. Images are named
    ``<kind>/<stem>``; those of ``test/<good>`` have a mask of zeros.

    Attributes:
        title: what messages call the set.
        source: where to get it, as a remedy in a message.
        categories: of the published set; any other folder of this layout will do.
        good: the folder of good images, in ``train`` and in ``test``.
        mask_ending: what the stem of a mask has behind its image's.

    Args:
        root: the folder of the categories.
        category: one of ``categories``, or any other folder of this layout.
        resolution: pixels of the square that images are resized to.
        channels: 1 (grey) or 3 (RGB).
    """

    title: str
    source: str
    categories: tuple[str, ...]
    good: str
    mask_ending = ""

    @checked("dataset")
    def __init__(self, root: Text, category: Name, resolution: Resolution, channels: Channels) -> None:
        super().__init__(category, resolution, channels)
        self.root = root

    def training_files(self) -> list[Path]:
        """The good images of ``train``, sorted."""
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
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise InputError(f"dataset.root={self.root}: no such folder; {self.source}")
        home = root / self.category
        if not home.is_dir():
            found = ", ".join(sorted(path.parent.name for path in root.glob("*/train"))) or "none"
            raise InputError(
                f"dataset.category={self.category}: not in dataset.root={self.root}, which has: {found}; "
                f"{self.title} has: {', '.join(self.categories)}"
            )
        return home
