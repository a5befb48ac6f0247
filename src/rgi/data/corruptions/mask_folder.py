"""Holes from mask files."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from rgi.data.corruptions.corruption import FillImages
from rgi.data.corruptions.holes import REGION_STREAM, Fill, Hole
from rgi.data.images import check_image, check_mask, parallel_map, read_mask, read_pixels
from rgi.data.listing import images_by_stem
from rgi.errors import InputError
from rgi.validation import Count, Index, Seed, Switch, Text, checked


class MaskFolder(Hole):
    """Holes from mask files, such as NVIDIA's irregular masks (Liu et al., ECCV 2018).

    The name of an image and the seed determine its mask file.

    Args:
        masks: folder of mask files, white = hole; masks are resized without keeping the aspect ratio.
        first: number of the first file that is used, in the sorted list.
        last: number after the last file that is used; None for all further files.
        touched: whether the hole contains all pixels above 0 of the bicubically resized mask, as in the authors' code,
            which widens the hole by about one pixel; otherwise the hole contains pixels that are covered by at least
            one half.
        fill: kind of content, see `Hole`.
        seed: seed of all random choices.

    Raises:
        InputError: an option is out of range.
    """

    @checked("corruption")
    def __init__(self, masks: Text, first: Index, last: Count | None, touched: Switch, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        if last is not None and last <= first:
            raise InputError(f"corruption.last={last}: must be a whole number above corruption.first={first}, or null")
        self.masks, self.first, self.last, self.touched = masks, first, last, touched

    @cached_property
    def files(self) -> list[Path]:
        """Mask files from ``first`` to ``last``, sorted by name.

        Raises:
            InputError: the folder does not exist, or has too few images.
        """
        files = list(images_by_stem(self.masks, f"corruption.masks={self.masks}").values())
        required = self.first + 1 if self.last is None else self.last
        if len(files) < required:
            raise InputError(
                f"corruption.masks={self.masks}: holds {len(files)} masks, but corruption.first and corruption.last "
                f"ask for {required}; add masks, or set corruption.first=0 corruption.last=null"
            )
        return files[self.first : self.last]

    def file(self, name: str) -> Path:
        """Mask file of the image with this name."""
        return self.files[self.random_generator(name, REGION_STREAM).integers(len(self.files))]

    def region(self, name: str, resolution: int) -> Tensor:
        """Mask (1,1,H,W) of the image, read from its file, see `Hole.region`."""
        return self._read(self.file(name), resolution)

    def _read(self, path: Path, resolution: int) -> Tensor:
        if self.touched:
            return torch.from_numpy(read_pixels(path, 1, resolution) > 0)[None].float()
        return read_mask(path, resolution)[0][None]

    def check(self, names: Sequence[str], resolution: int, fill_images: FillImages) -> None:
        """Decode and check all masks that are used.

        Raises:
            InputError: `check_image` or `check_mask` raises an error, or a mask covers no pixel or every pixel.
        """

        def open(path: Path) -> None:
            check_mask(path, check_image(path))
            covered = self._read(path, resolution).mean()
            if covered in (0, 1):
                much = "no" if covered == 0 else "every"
                raise InputError(f"{path}: covers {much} pixel of {resolution}x{resolution}; remove the mask")

        used = sorted({self.file(name) for name in names})
        for _ in parallel_map(open, used, "checking masks"):
            pass
        super().check(names, resolution, fill_images)
