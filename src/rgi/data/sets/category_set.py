"""Base classes of datasets with the layout of MVTec AD: a folder per category, with good images, defects and masks."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rgi.data.download import download as fetch
from rgi.data.files import Channels, FileSet, Resolution
from rgi.data.listing import Sample, expanded, images_by_stem, pair_with_masks
from rgi.errors import InputError, did_you_mean
from rgi.validation import Allowed, Name, Switch, Text, checked

Sum = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$"), Allowed("64 hexadecimal digits")]


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
        home = self._place()
        if not home.is_dir():
            folders = sorted(path.parent.name for path in root.glob("*/train"))
            published = ", ".join(self.categories)
            near = "" if self.category in self.categories else did_you_mean(self.category, [*folders, *self.categories])
            raise InputError(
                f"dataset.category={self.category}: not in dataset.root={self.root}, which has: "
                f"{', '.join(folders) or 'none'}; {near}choose one of them, or add a "
                f"category of {self.title}: {published}"
            )
        return home

    def _place(self) -> Path:
        """Where the category's folder is, or would be."""
        return expanded(self.root) / self.category


class ArchivedSet(CategorySet):
    """A `CategorySet` whose published archive can be downloaded.

    Attributes:
        archive: address of the archive, which has all categories.
        archive_sum: SHA-256 of the archive; None if this project has not checked one. The user must then give it.
        page: address of a web page with the archive.

    Args:
        root: folder of the categories.
        category: name of the category's folder; folders outside ``categories`` are allowed.
        resolution: height and width in pixels to which images are resized.
        channels: number of channels, 1 (grey) or 3 (RGB).
        download: whether `prepare` downloads the whole dataset if the category is missing.
        sha256: the user's own SHA-256 of the archive; None means ``archive_sum``.
        shared: further options of `FileSet`.

    Raises:
        InputError: an option is wrong, there is no sum for the download, or a sum without a download.
    """

    archive: str
    archive_sum: str | None
    page: str

    @checked("dataset")
    def __init__(
        self,
        root: Text,
        category: Name,
        resolution: Resolution,
        channels: Channels,
        download: Switch = False,
        sha256: Sum | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(root, category, resolution, channels, **shared)
        self.download, self.sha256 = download, sha256.lower() if sha256 else self.archive_sum
        if download and self.sha256 is None:
            raise InputError(
                "dataset.sha256: not given; a download needs the SHA-256 of "
                f"{self.archive} from a source that you trust, as this program knows none"
            )
        if sha256 and not download:
            raise InputError(f"dataset.sha256={sha256}: checks a download; add dataset.download=true, or remove it")

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """Download the dataset with ``download=True`` if it is missing, then check it, see `FileSet.prepare`.

        Raises:
            InputError: the download fails, or `FileSet.prepare` raises an error.
        """
        if self.download and self.category in self.categories and not self._place().is_dir():
            fetch(self.archive, self.sha256, expanded(self.root), self.page)
        super().prepare(training, tests)
