"""Base class of datasets of image files: checking, splitting and reading them."""

from abc import ABC, abstractmethod
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
from rgi.data.listing import Sample
from rgi.errors import InputError
from rgi.validation import Allowed, Name, checked, integer, one_of

HOLD_OUT_INTERVAL = 10  # every tenth clean image is a validation image
MIN_TRAINING_IMAGES = 16  # a generator would only memorise fewer images
Resolution = integer(MIN_SIDE)
Channels = Annotated[one_of(1, 3), Allowed("1 (grey) or 3 (RGB)")]


class FileSet(ABC):
    """A dataset of image files; subclasses list the files.

    Attributes:
        name: name of the dataset.
        terms: terms of use of the images, in one sentence.
        patch: side in pixels of the square of a picture that a training image shows; 0 for whole pictures.
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
    patch: int = 0
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
