"""Clean images of files, for trainings and for statistics."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from rgi.data.cache import BoxFunction, Facts, Reading, decoded_pixels
from rgi.data.images import scale_pixels

FEW_FILES = 2000  # so few files are all decoded when the first of them is used


class CleanImages(Dataset[Tensor]):
    """Clean images (C,H,W) in [-1, 1]; the first access decodes all of them into the cache (see `rgi.data.cache`).

    Args:
        files: image files.
        channels: number of channels C, 1 or 3.
        resolution: height and width of an image in pixels.
        box: function that returns the region of a file to crop.
        patches: number of images that are random patches of each file; 0 for one image, the whole picture.
        roi: mask file of the pixels that count, see `Reading`.
        check: function that checks files.
        known: function that returns what an earlier check has found of a file.
    """

    def __init__(
        self,
        files: Sequence[Path],
        channels: int,
        resolution: int,
        box: BoxFunction,
        patches: int = 0,
        roi: Path | None = None,
        check: Callable[[Sequence[Path]], None] = lambda files: None,
        known: Callable[[Path], Facts | None] = lambda path: None,
    ) -> None:
        self.files, self.channels, self.resolution, self.box = files, channels, resolution, box
        self.reading = Reading(channels, resolution, box, patches, roi)
        self._check, self._known = check, known

    def __len__(self) -> int:
        return len(self.files) * self.reading.per_file

    def __getitem__(self, index: int) -> Tensor:
        return scale_pixels(self.__getitems__([index])[0])

    def __getitems__(self, indices: list[int]) -> Tensor:
        """A batch of stored pixels, uint8 (B,C,H,W); float32 would need four times as many bytes."""
        return torch.from_numpy(self._pixels[indices])

    def choose(self, positions: Sequence[int]) -> Dataset[Tensor]:
        """The images at these positions; of many files, only those of these images are decoded."""
        if "_pixels" in vars(self) or len(self.files) <= FEW_FILES:
            return Subset(self, positions)
        numbers, size = self._numbers(positions), self.reading.per_file
        place = {number: size * order for order, number in enumerate(numbers)}
        part = copy(self)
        part.files = [self.files[number] for number in numbers]
        return Subset(part, [place[position // size] + position % size for position in positions])

    def check_files(self, positions: Sequence[int]) -> None:
        """Check the files that are decoded for the images at these positions.

        Raises:
            InputError: a file is wrong.
        """
        numbers = range(len(self.files)) if len(self.files) <= FEW_FILES else self._numbers(positions)
        self._check([self.files[number] for number in numbers])

    def _numbers(self, positions: Sequence[int]) -> list[int]:
        """The numbers of the files of the images at these positions, in ascending order."""
        return sorted({position // self.reading.per_file for position in positions})

    @cached_property
    def _pixels(self) -> np.ndarray:
        return decoded_pixels(self.files, self.reading, self._known)
