"""Base class of datasets of image files: listing files, pairing images with masks, checking, reading."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
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

log = logging.getLogger(__name__)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
HOLD_OUT_INTERVAL = 10  # every tenth clean image is a validation image
MIN_TRAINING_IMAGES = 16  # a generator would only memorise fewer images
LONGEST_NAME = 200  # bytes; most file systems allow 255, and names of results are longer than those of images
Resolution = integer(MIN_SIDE)
Channels = Annotated[one_of(1, 3), Allowed("1 (grey) or 3 (RGB)")]


@dataclass(frozen=True)
class Sample:
    """One test image.

    Attributes:
        name: name of the image, unique in the dataset.
        image: image file.
        mask: mask file; None without a mask.
        good: whether the image is known to have no defect, so that its mask is zero everywhere.
    """

    name: str
    image: Path
    mask: Path | None = None
    good: bool = False


class FileSet(ABC):
    """A dataset of image files; subclasses list the files.

    Attributes:
        name: name of the dataset.
        terms: terms of use of the images, in one sentence.
        mixed_modes: whether the training images may be grey and coloured, with ``channels=3``.

    Args:
        category: category of all images, see `Batch.category`.
        resolution: height and width in pixels to which images are resized.
        channels: number of channels, 1 (grey) or 3 (RGB).

    Raises:
        InputError: an argument is out of range.
    """

    name: str
    terms: str
    mixed_modes: bool = False

    @checked("dataset")
    def __init__(self, category: Name, resolution: Resolution, channels: Channels) -> None:
        self.category, self.resolution, self.channels = category, resolution, channels

    @abstractmethod
    def training_files(self) -> list[Path]:
        """Files of the clean images in a fixed order; empty for a dataset without clean images."""

    @abstractmethod
    def samples(self) -> list[Sample]:
        """The test images in a fixed order."""

    def box(self, path: Path, size: tuple[int, int]) -> Box | None:
        """Region to crop before resizing; None for the whole image.

        Args:
            path: image file.
            size: (width, height) of the image in pixels.
        """
        return None

    def prepare(self) -> None:
        """Decode and check all images and masks.

        Raises:
            InputError: a folder is missing, an image has no mask, a mask has no image, some training images are grey
                and others coloured, or `check_image`, `check_mask` or `box` raises an error.
        """
        training = self.training_files()
        pairs = [(path, None) for path in training]
        pairs += [(sample.image, sample.mask) for sample in self.samples()]
        for _ in parallel_map(self._check, pairs, f"checking {self.name}"):
            pass
        if self.channels == 3 and not self.mixed_modes:
            _check_colours(training)

    def _check(self, pair: tuple[Path, Path | None]) -> None:
        """Decode and check an image and its mask, if the image has one."""
        image, mask = pair
        size = check_image(image)
        self.box(image, size)
        if mask is not None:
            check_mask(mask, size)

    def train(self) -> "CleanImages":
        """Clean training images (C,H,W) in [-1, 1].

        Raises:
            InputError: the dataset has no clean images, or fewer than `MIN_TRAINING_IMAGES` training images.
        """
        kept, _ = self.split(self._clean_files())
        if len(kept) < MIN_TRAINING_IMAGES:
            raise InputError(
                f"dataset.category={self.category}: {len(kept)} clean images are too few to train on; add images until "
                f"there are {MIN_TRAINING_IMAGES} besides the validation images"
            )
        return self._clean(kept)

    def validation(self) -> "CleanImages":
        """Clean validation images (C,H,W) in [-1, 1]; none of them is a training image.

        Raises:
            InputError: the dataset has fewer than ten clean images.
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
        """Split clean images into training images and validation images; every tenth image is for validation."""
        kept = [path for position, path in enumerate(files, start=1) if position % HOLD_OUT_INTERVAL]
        return kept, files[HOLD_OUT_INTERVAL - 1 :: HOLD_OUT_INTERVAL]

    def test(self) -> "TestImages":
        """The test images in the order of `samples`, each a `Batch` of one."""
        return TestImages(self.samples(), self.category, self.channels, self.resolution, self.box)

    def _clean(self, files: list[Path]) -> "CleanImages":
        return CleanImages(files, self.channels, self.resolution, self.box)

    def _clean_files(self) -> list[Path]:
        files = self.training_files()
        if not files:
            raise InputError(
                f"dataset.category={self.category}: has no clean images to train on; "
                "set dataset.train to a folder of clean images"
            )
        return files


def _check_colours(files: list[Path]) -> None:
    """Raise an error if only some images are grey: a generator trained on them could restore lost colours as grey."""
    examples = dict(zip(parallel_map(is_grey, files, "checking colours"), files, strict=True))
    if len(examples) == 2:
        raise InputError(
            f"{examples[True]}: is grey but {examples[False]} is coloured; convert the training images to one "
            "mode, or set dataset.channels=1"
        )


class CleanImages(Dataset[Tensor]):
    """Clean images (C,H,W) in [-1, 1]; the first access decodes all of them into the cache (see `rgi.data.cache`)."""

    def __init__(self, files: list[Path], channels: int, resolution: int, box: BoxFunction) -> None:
        self.files, self.channels, self.resolution, self.box = files, channels, resolution, box

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return scale_pixels(self.__getitems__([index])[0])

    def __getitems__(self, indices: list[int]) -> Tensor:
        """A batch of stored pixels, uint8 (B,C,H,W); float32 would need four times as many bytes."""
        return torch.from_numpy(self._pixels[indices])

    @cached_property
    def _pixels(self) -> np.ndarray:
        return decoded_pixels(self.files, self.channels, self.resolution, self.box)


class TestImages(Dataset[Batch]):
    """Test images, each a `Batch` of one with its mask, if the mask is known, and without a clean original."""

    __test__ = False  # pytest would take the class for a test case

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
        mask = defective = None
        if sample.mask is not None:
            mask, marked = read_mask(sample.mask, self.resolution, box)
            mask, defective = mask[None], torch.tensor([marked])
        elif sample.good:
            mask = torch.zeros_like(observed[:, :1])
        return Batch(observed, mask, None, [sample.name], [self.category], defective)


def images_by_stem(folder: str | Path, label: str) -> dict[str, Path]:
    """All images below a folder, except hidden files: a sorted map from path to file.

    The paths are relative to the folder and have no suffix. Links to folders are followed.

    Args:
        folder: folder with images, in subfolders or not.
        label: text for the folder in error messages, for example ``dataset.root=data``.

    Raises:
        InputError: the folder does not exist or has no images, a subfolder cannot be listed, two files differ only in
            their suffix, or results could not be stored under the name of a file.
    """
    base = Path(folder).expanduser()
    if not base.is_dir():
        raise InputError(f"{label}: no such folder; correct the path")
    files: dict[str, Path] = {}
    others = 0
    for path in _walk(base):
        if path.suffix.lower() not in SUFFIXES:
            others += 1
            continue
        _check_name(path)
        stem = path.relative_to(base).with_suffix("").as_posix()
        if stem in files:
            raise InputError(f"{path}: has the same name as {files[stem].name}; rename or remove one of the two files")
        files[stem] = path
    if not files:
        raise InputError(f"{label}: holds no images ({', '.join(SUFFIXES)}); correct the path or add images")
    if others:
        log.info("%s: %d images; %d files of other kinds are left out", label, len(files), others)
    return dict(sorted(files.items()))


def _walk(base: Path) -> Iterator[Path]:
    """All files below a folder, sorted, except hidden ones; links are followed, and no folder is entered twice."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); allow it, or move the folder away")

    entered: dict[str, Path] = {}
    for folder, folders, names in os.walk(base, followlinks=True, onerror=refuse):
        place = Path(folder)
        first = entered.setdefault(os.path.realpath(folder), place)
        if first != place:
            log.warning("%s: is the same folder as %s and is left out", place, first)
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (place / name for name in sorted(names) if not name.startswith(".") and (place / name).is_file())


def _check_name(path: Path) -> None:
    """Raise an error if results of this image could not be stored under its name."""
    for part in path.parts:
        try:
            length = len(part.encode())
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode(errors="backslashreplace")
            raise InputError(f"{shown}: has a name that is no UTF-8; rename the file") from None
        if length > LONGEST_NAME:
            raise InputError(f"{path}: has a name of {length} bytes; rename the file, {LONGEST_NAME} are possible")


def pair_with_masks(images: Mapping[str, Path], masks: Mapping[str, Path], good: Collection[str] = ()) -> list[Sample]:
    """Pair images with the masks of the same names; returns the samples in the order of the images.

    Args:
        images: image files by name.
        masks: mask files by name.
        good: names of images without defects, which need no mask.

    Raises:
        InputError: an image has no mask, or a mask has no image.
    """
    for name in images:
        if name not in masks and name not in good:
            raise InputError(
                f"{images[name]}: has no mask; add a mask with the same name ({name}) to the folder of masks"
            )
    for name in masks:
        if name not in images:
            raise InputError(f"{masks[name]}: is a mask without image; add the image {name} or remove the mask")
    return [Sample(name, path, masks.get(name), good=name in good) for name, path in images.items()]
