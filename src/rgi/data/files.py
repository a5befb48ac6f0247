"""Base class of datasets of image files: checking, splitting and reading them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rgi.data.batch import Batch
from rgi.data.cache import Facts
from rgi.data.checked import CheckedFiles
from rgi.data.clean_images import CleanImages
from rgi.data.images import (
    MIN_SIDE,
    Box,
    check_mask_size,
    read_image,
    read_mask,
    shown,
    upright_size,
    whole_box,
)
from rgi.data.listing import Sample, expanded
from rgi.data.region import check_region, check_region_size
from rgi.errors import InputError
from rgi.validation import Allowed, Name, Text, checked, integer, one_of

HOLD_OUT_INTERVAL = 10  # every tenth clean image is a validation image
MIN_TRAINING_IMAGES = 16  # a generator would only memorise fewer images
PATCHES = 10_000  # number of random patches of all clean images together, at least one of each
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
        patch: height and width in pixels of patches: training images are random patches of the pictures, test images
            are whole pictures at their own size, and nothing is resized. None for whole pictures, resized.
        roi: mask file of the region that counts, white = counts, in the size of the pictures. None for all pixels.

    Raises:
        InputError: an argument is out of range, or patches do not have the resolution.
    """

    name: str
    terms: str
    patch: int = 0
    mixed_modes: bool = False

    @checked("dataset")
    def __init__(
        self,
        category: Name,
        resolution: Resolution,
        channels: Channels,
        patch: Resolution | None = None,
        roi: Text | None = None,
    ) -> None:
        if patch not in (None, resolution):
            raise InputError(
                f"dataset.patch={patch}: is the side of the generator's images, too, but "
                f"dataset.resolution={resolution}; leave out dataset.resolution, or set both to one number"
            )
        self.category, self.resolution, self.channels = category, resolution, channels
        self.patch, self.roi = patch or 0, None if roi is None else expanded(roi)

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

    @property
    def note(self) -> str:
        """What a reader of the scores must know about the images; empty for nothing."""
        patch = f"dataset.patch={self.patch}: images keep their scale, so never compare scores with resized ones"
        roi = f"dataset.roi={self.roi}: nothing outside this region counts"
        return "; ".join(([patch] if self.patch else []) + ([roi] if self.roi else []))

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """Decode and check images and masks that have changed since their last check, see `rgi.data.checked`.

        Args:
            training: whether all clean images are checked; without, only a few clean images are: of many,
                `CleanImages.check_files` checks those that are used.
            tests: whether the test images are checked.

        Raises:
            InputError: a folder is missing, an image has no mask, a mask has no image, some training images are grey
                and others coloured, or `check_image`, `check_mask` or `box` raises an error.
        """
        files = self.training_files()
        if training:
            self._check_clean(files)
        elif files:
            self._clean(files).check_files([])  # if they are few, all of them
        if tests:
            self._check_tests(self.samples())

    @cached_property
    def record(self) -> CheckedFiles:
        """The files that were checked."""
        return CheckedFiles(f"{self.name} {self.category}")

    def _check_clean(self, files: Sequence[Path]) -> None:
        facts = self._check_images(files)
        examples = dict(zip((found.grey for found in facts), files, strict=True))
        if self.channels == 3 and not self.mixed_modes and len(examples) == 2:
            # A generator trained on them could restore lost colours as grey.
            raise InputError(
                f"{examples[True]}: is grey but {examples[False]} is coloured; convert the training images to one "
                "mode, or set dataset.channels=1"
            )

    def _check_tests(self, samples: Sequence[Sample]) -> None:
        facts = self._check_images([sample.image for sample in samples])
        masked = [(sample.mask, found.size) for sample, found in zip(samples, facts, strict=True) if sample.mask]
        masks = self.record.masks([mask for mask, _ in masked], f"checking masks of {self.name}")
        for (mask, size), found in zip(masked, masks, strict=True):
            check_mask_size(mask, found.size, size)

    def _check_images(self, files: Sequence[Path]) -> list[Facts]:
        facts = self.record.images(files, f"checking {self.name}")
        for path, (size, _, _) in zip(files, facts, strict=True):
            left, top, right, bottom = whole_box(size, self.box(path, size))
            if min(right - left, bottom - top) < self.patch:
                raise InputError(
                    f"{path}: has only {shown((right - left, bottom - top))} pixels, less than a patch of "
                    f"{shown((self.patch,) * 2)}; remove the file, or choose a smaller dataset.patch"
                )
            if self.roi is not None:
                check_region_size(self.roi, self._roi_size, path, size)
        return facts

    @cached_property
    def _roi_size(self) -> tuple[int, int] | None:
        return None if self.roi is None else check_region(self.roi)

    def train(self) -> CleanImages:
        """Clean training images (C,H,W) in [-1, 1].

        Raises:
            InputError: the dataset has no clean images, or fewer than `MIN_TRAINING_IMAGES` training images.
        """
        kept, _ = self.split(self._clean_files())
        clean = self._clean(kept)
        if len(clean) < MIN_TRAINING_IMAGES:
            raise InputError(
                f"dataset.category={self.category}: {len(kept)} clean images are too few to train on; add images until "
                f"there are {MIN_TRAINING_IMAGES} besides the validation images"
            )
        return clean

    def validation(self) -> CleanImages:
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
        return TestImages(self, self.samples())

    @property
    def counted(self) -> Tensor | None:
        """The region of clean images that counts, (1,H,W) in {0,1}; None if all pixels count.

        Patches are cut inside the region, so all of their pixels count.
        """
        if self.roi is None or self.patch:
            return None
        return read_mask(self.roi, self.resolution, self.box(self.roi, self._roi_size))[0]

    def _clean(self, files: list[Path]) -> CleanImages:
        patches = max(1, PATCHES // len(self.training_files())) if self.patch else 0
        reading = {"patches": patches, "roi": self.roi, "check": self._check_clean, "known": self.record.known}
        return CleanImages(files, self.channels, self.resolution, self.box, **reading)

    def _clean_files(self) -> list[Path]:
        files = self.training_files()
        if not files:
            raise InputError(
                f"dataset.category={self.category}: has no clean images to train on; "
                "set dataset.train to a folder of clean images"
            )
        return files


class TestImages(Dataset[Batch]):
    """Test images, each a `Batch` of one with its mask, if the mask is known, and without a clean original.

    Args:
        owner: dataset of the images; of a dataset with patches, test images are whole pictures at their own size.
        samples: the images in their order.
    """

    __test__ = False  # pytest would take the class for a test case

    def __init__(self, owner: FileSet, samples: list[Sample]) -> None:
        self.samples, self.category = samples, owner.category
        self.names = [sample.name for sample in samples]
        self.channels, self.box, self.roi = owner.channels, owner.box, owner.roi
        self.resolution, self.equal_sizes = None if owner.patch else owner.resolution, not owner.patch

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        box = self.box(sample.image, upright_size(sample.image))
        observed = read_image(sample.image, self.channels, self.resolution, box)[None]
        mask = defective = counted = None
        if self.roi is not None:
            counted = read_mask(self.roi, self.resolution, box)[0][None]
        if sample.mask is not None:
            mask, marked = read_mask(sample.mask, self.resolution, box)
            if self.roi is not None:
                marked = read_mask(sample.mask, self.resolution, box, self.roi)[1]
            mask, defective = mask[None], torch.tensor([marked])
        elif sample.good:
            mask = torch.zeros_like(observed[:, :1])
        return Batch(observed, mask, None, [sample.name], [self.category], defective, counted)
