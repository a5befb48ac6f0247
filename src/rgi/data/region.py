"""A region of interest: a mask file in the size of the pictures, whose white pixels count."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from rgi.data.images import check_mask_content, read_mask, shown
from rgi.errors import InputError


def check_region(roi: Path) -> tuple[int, int]:
    """Check the file of a region; returns its width and height in pixels.

    Raises:
        InputError: there is no such file, it is no mask, or nothing is white.
    """
    if not roi.is_file():
        raise InputError(f"dataset.roi={roi}: no such file; name a mask file, white = counts")
    size = check_mask_content(roi)
    if not read_mask(roi, None)[1]:
        raise InputError(f"dataset.roi={roi}: is black, so nothing counts; save what counts as white")
    return size


def check_region_size(roi: Path, size: tuple[int, int], path: Path, picture: tuple[int, int]) -> None:
    """Check that a picture has the size (width, height) of the region.

    Raises:
        InputError: it has another size.
    """
    if size != picture:
        raise InputError(
            f"dataset.roi={roi}: has {shown(size)} pixels but {path} has {shown(picture)}; save the region in the size "
            "of the pictures"
        )


@lru_cache(maxsize=4)  # all pictures of a run have the same region
def resized_region(roi: Path, width: int, height: int) -> tuple[Tensor, tuple[int, int]]:
    """The region (height,width) of bool, and the size (width, height) of its file; half of a pixel's area decides."""
    white = read_mask(roi, None)[0]
    area = interpolate(white[None], (height, width), mode="area")[0, 0]
    return torch.round(area, decimals=6) >= 0.5, (white.shape[2], white.shape[1])
