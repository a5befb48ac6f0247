"""Holes whose regions are read from files."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from rgi.data.corruptions.corruption import FillImages
from rgi.data.corruptions.holes import REGION_STREAM, Fill, Hole
from rgi.data.files import images_by_stem
from rgi.data.images import check_image, check_mask, parallel_map, read_mask, read_pixels
from rgi.errors import InputError
from rgi.validation import Count, Index, Seed, Switch, Text, checked


class MaskFolder(Hole):
    """Holes from files, such as NVIDIA's irregular ones (Liu et al., ECCV 2018); an image's name chooses its file.

    Args:
        masks: the folder of black pictures with white holes, resized to the images' size, aspect not kept.
        first, last: take the sorted files from number ``first`` up to, not including, ``last``; None is the rest.
        touched: the hole has every pixel that a bicubically resized mask is not 0 in (as published), which widens
            it by about a pixel; otherwise those of which it covers half.
        fill, seed: see `Hole`.

    Raises:
        InputError: an option out of range.
    """

    @checked("corruption")
    def __init__(self, masks: Text, first: Index, last: Count | None, touched: Switch, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        if last is not None and last <= first:
            raise InputError(f"corruption.last={last}: must be a whole number above corruption.first={first}, or null")
        self.masks, self.first, self.last, self.touched = masks, first, last, touched

    @cached_property
    def files(self) -> list[Path]:
        """The masks to choose from, sorted by name.

        Raises:
            InputError: no such folder, no pictures in it, or fewer than asked for.
        """
        found = list(images_by_stem(self.masks, f"corruption.masks={self.masks}").values())
        least = self.first + 1 if self.last is None else self.last
        if len(found) < least:
            raise InputError(
                f"corruption.masks={self.masks}: holds {len(found)} masks, corruption.first and corruption.last ask "
                f"for {least}; add the others, or set corruption.first=0 corruption.last=null"
            )
        return found[self.first : self.last]

    def file(self, name: str) -> Path:
        """The mask of an image."""
        return self.files[self.random_generator(name, REGION_STREAM).integers(len(self.files))]

    def region(self, name: str, resolution: int) -> Tensor:
        """The mask, read and resized."""
        return self._read(self.file(name), resolution)

    def _read(self, path: Path, resolution: int) -> Tensor:
        if self.touched:
            return torch.from_numpy(read_pixels(path, 1, resolution) > 0)[None].float()
        return read_mask(path, resolution)[None]

    def check(self, names: Sequence[str], resolution: int, fill_images: FillImages) -> None:
        """Open every mask that is used.

        Raises:
            InputError: what `check_mask` finds, or a mask without hole, or without anything else.
        """

        def open(path: Path) -> None:
            check_mask(path, check_image(path))
            covered = self._read(path, resolution).mean()
            if covered in (0, 1):
                much = "no" if covered == 0 else "every"
                raise InputError(f"{path}: covers {much} pixel of {resolution}x{resolution}; remove it")

        used = sorted({self.file(name) for name in names})
        for _ in parallel_map(open, used, "checking masks"):
            pass
        super().check(names, resolution, fill_images)
