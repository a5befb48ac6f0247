"""What all datasets made of image files share: listing, pairing with masks, checking, reading."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rgi.data.batch import Batch
from rgi.data.cache import BoxFunction, decoded_pixels
from rgi.data.images import (
    MIN_SIDE,
    Box,
    check_image,
    check_mask,
    is_grey,
    parallel_map,
    read_image,
    read_mask,
    scale_pixels,
    upright_size,
)
from rgi.errors import InputError
from rgi.validation import Allowed, Name, checked, integer, one_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
HOLD_OUT_INTERVAL = 10  # of so many clean images, one is for validation
MIN_TRAINING_IMAGES = 16  # fewer teach a generator nothing but themselves
Resolution = integer(MIN_SIDE)
Channels = Annotated[one_of(1, 3), Allowed("1 (grey) or 3 (RGB)")]


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
    mixed_modes: bool = False  # whether grey and coloured files may be trained on together, in colour

    @checked("dataset")
    def __init__(self, category: Name, resolution: Resolution, channels: Channels) -> None:
        self.category, self.resolution, self.channels = category, resolution, channels

    @abstractmethod
    def training_files(self) -> list[Path]:
        """The clean images in a fixed order; empty if the set has none."""

    @abstractmethod
    def samples(self) -> list[Sample]:
        """The test images in a fixed order."""

    def box(self, path: Path, size: tuple[int, int]) -> Box | None:
        """What to cut out of a picture of this (width, height) before it is resized; None is all of it."""
        return None

    def prepare(self) -> None:
        """Open, decode and check every image and mask, and what is cut out of them.

        Raises:
            InputError: a missing folder, a mask without its image or the reverse, grey training images among
                coloured ones, or what `check_image`, `check_mask` and `box` find.
        """
        training = self.training_files()
        pairs = [(path, None) for path in training]
        pairs += [(sample.image, sample.mask) for sample in self.samples()]
        for _ in parallel_map(self._check, pairs, f"checking {self.name}"):
            pass
        if self.channels == 3 and not self.mixed_modes:
            _check_colours(training)

    def _check(self, pair: tuple[Path, Path | None]) -> None:
        """Decode and check an image, and its mask if it has one."""
        image, mask = pair
        size = check_image(image)
        self.box(image, size)
        if mask is not None:
            check_mask(mask, size)

    def train(self) -> "CleanImages":
        """Clean images (C,H,W) in [-1, 1] to train on.

        Raises:
            InputError: the set has none, or fewer than `MIN_TRAINING_IMAGES`.
        """
        kept, _ = self.split(self._clean_files())
        if len(kept) < MIN_TRAINING_IMAGES:
            raise InputError(
                f"dataset.category={self.category}: {len(kept)} clean images are too few to train on; add images until "
                f"there are {MIN_TRAINING_IMAGES}, not counting those held out for validation"
            )
        return self._clean(kept)

    def validation(self) -> "CleanImages":
        """Clean images held out by `split`, none of them in `train`.

        Raises:
            InputError: there are fewer than ten.
        """
        files = self._clean_files()
        if len(files) < HOLD_OUT_INTERVAL:
            raise InputError(
                f"dataset.category={self.category}: {len(files)} clean images are too few to hold one out for "
                f"validation; add images until there are {HOLD_OUT_INTERVAL}"
            )
        _, held_out = self.split(files)
        return self._clean(held_out)

    def split(self, files: list[Path]) -> tuple[list[Path], list[Path]]:
        """Clean images to train on, and those held out for validation: every tenth."""
        kept = [path for position, path in enumerate(files, start=1) if position % HOLD_OUT_INTERVAL]
        return kept, files[HOLD_OUT_INTERVAL - 1 :: HOLD_OUT_INTERVAL]

    def test(self) -> "TestImages":
        """The test images, each a `Batch` of one."""
        return TestImages(self.samples(), self.category, self.channels, self.resolution, self.box)

    def _clean(self, files: list[Path]) -> "CleanImages":
        return CleanImages(files, self.channels, self.resolution, self.box)

    def _clean_files(self) -> list[Path]:
        files = self.training_files()
        if not files:
            raise InputError(
                f"dataset.category={self.category}: has no clean images to train on; "
                "set dataset.train to a folder of them"
            )
        return files


def _check_colours(files: list[Path]) -> None:
    """A generator that saw a few grey images among coloured ones could explain a loss of colour."""
    examples = dict(zip(parallel_map(is_grey, files, "checking colours"), files, strict=True))
    if len(examples) == 2:
        raise InputError(
            f"{examples[True]}: is grey but {examples[False]} is coloured; convert the training images to one of the "
            "two, or set dataset.channels=1"
        )


class CleanImages(Dataset[Tensor]):
    """Images (C,H,W) in [-1, 1], decoded when the first of them is asked for (see `rgi.data.cache`)."""

    def __init__(self, files: list[Path], channels: int, resolution: int, box: BoxFunction) -> None:
        self.files, self.channels, self.resolution, self.box = files, channels, resolution, box

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return scale_pixels(self.__getitems__([index])[0])

    def __getitems__(self, indices: list[int]) -> Tensor:
        """A batch as it is stored, uint8 (B,C,H,W): a quarter of the bytes to copy, and to send to a device."""
        return torch.from_numpy(self._pixels[indices])

    @cached_property
    def _pixels(self) -> np.ndarray:
        return decoded_pixels(self.files, self.channels, self.resolution, self.box)


class TestImages(Dataset[Batch]):
    """Test images, each a `Batch` of one with its mask where that is known; the clean original never is."""

    __test__ = False  # no test case, whatever pytest makes of the name

    def __init__(self, samples: list[Sample], category: str, channels: int, resolution: int, box: BoxFunction) -> None:
        self.samples, self.category = samples, category
        self.names = [sample.name for sample in samples]
        self.channels, self.resolution, self.box = channels, resolution, box

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        box = self.box(sample.image, upright_size(sample.image))
        observed = read_image(sample.image, self.channels, self.resolution, box)[None]
        mask = None
        if sample.mask is not None:
            mask = read_mask(sample.mask, self.resolution, box)[None]
        elif sample.good:
            mask = torch.zeros_like(observed[:, :1])
        return Batch(observed, mask, None, [sample.name], [self.category])


def images_by_stem(folder: str | Path, label: str) -> dict[str, Path]:
    """All images below a folder, hidden ones aside, by their path in it without the suffix, sorted.

    Args:
        folder: where to look.
        shown: how messages call the folder.

    Raises:
        InputError: no such folder, no image in it, or two that differ in the suffix alone.
    """
    base = Path(folder).expanduser()
    if not base.is_dir():
        raise InputError(f"{label}: no such folder; correct the path")
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
        raise InputError(f"{label}: holds no images ({', '.join(SUFFIXES)}); correct the path or add some")
    return dict(sorted(found.items()))


def pair_with_masks(images: Mapping[str, Path], masks: Mapping[str, Path], good: Collection[str] = ()) -> list[Sample]:
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
