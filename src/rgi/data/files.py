"""What all datasets made of image files share: listing, pairing with masks, checking, reading."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from rgi.data.batch import Batch
from rgi.data.images import MIN_SIDE, check_image, check_mask, read_image, read_mask
from rgi.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
HELD_OUT = 10  # of so many clean images, one is for validation
KEPT_BYTES = 2**30  # decoded images held in memory per dataset


@dataclass(frozen=True)
class Sample:
    """One test image: the mask's file, if it has one; ``good`` = known to be free of defects without one."""

    name: str
    image: Path
    mask: Path | None = None
    good: bool = False


class FileSet(ABC):
    """A dataset of image files; a subclass says where they are.

    Args:
        category: what `Batch.category` says of every image.
        resolution: images are resized to this square, in pixels.
        channels: 1 (grey) or 3 (RGB).

    Raises:
        InputError: a category, resolution or channel count that cannot be.
    """

    name: str
    terms: str

    def __init__(self, category: str, resolution: int, channels: int) -> None:
        if category in (None, "") or "/" in str(category):
            raise InputError(f"dataset.category={category}: must be a plain name; correct it")
        if type(resolution) is not int or resolution < MIN_SIDE:
            raise InputError(f"dataset.resolution={resolution}: must be a whole number of at least {MIN_SIDE} pixels")
        if type(channels) is not int or channels not in (1, 3):
            raise InputError(f"dataset.channels={channels}: must be 1 (grey) or 3 (RGB)")
        self.category, self.resolution, self.channels = str(category), resolution, channels

    @abstractmethod
    def training_files(self) -> list[Path]:
        """The clean images in a fixed order; empty if the set has none."""

    @abstractmethod
    def samples(self) -> list[Sample]:
        """The test images in a fixed order."""

    def prepare(self) -> None:
        """Open, decode and check every image and mask.

        Raises:
            InputError: a missing folder, a mask without its image or the reverse, or what `check_image` and
                `check_mask` find.
        """
        pairs = [(path, None) for path in self.training_files()]
        pairs += [(sample.image, sample.mask) for sample in self.samples()]
        for image, mask in tqdm(pairs, desc=f"checking {self.name}", unit="image", delay=3, leave=False):
            size = check_image(image)
            if mask is not None:
                check_mask(mask, size)

    def train(self) -> "CleanImages":
        """Clean images (C,H,W) in [-1, 1] to train on.

        Raises:
            InputError: the set has none.
        """
        kept, _ = self.split(self._clean_files())
        return CleanImages(kept, self.channels, self.resolution)

    def validation(self) -> "CleanImages":
        """Clean images held out by `split`, none of them in `train`.

        Raises:
            InputError: there are fewer than ten.
        """
        files = self._clean_files()
        if len(files) < HELD_OUT:
            raise InputError(
                f"dataset.category={self.category}: {len(files)} clean images are too few to hold one out for "
                f"validation; add images until there are {HELD_OUT}"
            )
        _, held_out = self.split(files)
        return CleanImages(held_out, self.channels, self.resolution)

    def split(self, files: list[Path]) -> tuple[list[Path], list[Path]]:
        """Clean images to train on, and those held out for validation: every tenth."""
        kept = [path for position, path in enumerate(files, start=1) if position % HELD_OUT]
        return kept, files[HELD_OUT - 1 :: HELD_OUT]

    def test(self) -> "TestImages":
        """The test images, each a `Batch` of one."""
        return TestImages(self.samples(), self.category, self.channels, self.resolution)

    def _clean_files(self) -> list[Path]:
        files = self.training_files()
        if not files:
            raise InputError(
                f"dataset.category={self.category}: has no clean images to train on; "
                "set dataset.train to a folder of them"
            )
        return files


class CleanImages(Dataset[Tensor]):
    """Images (C,H,W) in [-1, 1]; decoded ones stay in memory until `KEPT_BYTES` are full."""

    def __init__(self, files: list[Path], channels: int, resolution: int) -> None:
        self.files, self.channels, self.resolution = files, channels, resolution
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        if index in self._kept:
            return self._kept[index].clone()
        image = read_image(self.files[index], self.channels, self.resolution)
        if (len(self._kept) + 1) * image.nbytes <= KEPT_BYTES:
            self._kept[index] = image.clone()
        return image


class TestImages(Dataset[Batch]):
    """Test images, each a `Batch` of one with its mask where that is known; the clean original never is."""

    __test__ = False  # no test case, whatever pytest makes of the name

    def __init__(self, samples: list[Sample], category: str, channels: int, resolution: int) -> None:
        self.samples, self.category = samples, category
        self.names = [sample.name for sample in samples]
        self.channels, self.resolution = channels, resolution

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        observed = read_image(sample.image, self.channels, self.resolution)[None]
        mask = None
        if sample.mask is not None:
            mask = read_mask(sample.mask, self.resolution)[None]
        elif sample.good:
            mask = torch.zeros_like(observed[:, :1])
        return Batch(observed, mask, None, [sample.name], [self.category])


def images_by_stem(folder: str | Path, shown: str) -> dict[str, Path]:
    """All images below a folder, hidden ones aside, by their path in it without the suffix, sorted.

    Args:
        folder: where to look.
        shown: how messages call the folder.

    Raises:
        InputError: no such folder, no image in it, or two that differ in the suffix alone.
    """
    base = Path(folder).expanduser()
    if not base.is_dir():
        raise InputError(f"{shown}: no such folder; correct the path")
    found: dict[str, Path] = {}
    for path in sorted(base.rglob("*")):
        inner = path.relative_to(base)
        hidden = any(part.startswith(".") for part in inner.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        stem = inner.with_suffix("").as_posix()
        if stem in found:
            raise InputError(f"{path}: has the name of {found[stem].name} beside it; rename or remove one of them")
        found[stem] = path
    if not found:
        raise InputError(f"{shown}: holds no images ({', '.join(SUFFIXES)}); correct the path or add some")
    return dict(sorted(found.items()))


def pair(images: Mapping[str, Path], masks: Mapping[str, Path], good: Collection[str] = ()) -> list[Sample]:
    """Each image with the mask of its name, in the order of the images; those in ``good`` need none.

    Raises:
        InputError: an image without mask, or a mask without image.
    """
    for name in images:
        if name not in masks and name not in good:
            raise InputError(f"{images[name]}: has no mask; add one of the same name ({name}) to the masks' folder")
    for name in masks:
        if name not in images:
            raise InputError(f"{masks[name]}: is a mask without image; add the image ({name}) or remove the mask")
    return [Sample(name, path, masks.get(name), good=name in good) for name, path in images.items()]
