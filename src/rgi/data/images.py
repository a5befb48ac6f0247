"""Pictures on disk to tensors, and the checks that come before."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from rgi.errors import InputError

MIN_SIDE = 16
MODES = ("L", "RGB", "1", "P")


def read_image(path: Path, channels: int, resolution: int) -> Tensor:
    """A picture as (channels, resolution, resolution) float32 in [-1, 1].

    The EXIF orientation is applied; grey and colour are converted into each other (ITU-R 601 luma); the picture is
    then resized, aspect not kept, by Pillow's bicubic filter, which widens with the scale and so does not alias.
    """
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
    image = image.resize((resolution, resolution), Image.Resampling.BICUBIC)
    pixels = np.array(image, np.float32).reshape(resolution, resolution, channels)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1).contiguous()


def read_mask(path: Path, resolution: int) -> Tensor:
    """A mask as (1, resolution, resolution) float32 in {0, 1}: 1 where at least half of the area is above 127."""
    with Image.open(path) as file:
        values = np.asarray(ImageOps.exif_transpose(file).convert("L"))
    area = cell_means(cell_means((values > 127).astype(np.float64), resolution).T, resolution).T
    # Rounded because an exact half must count as such whatever the order of the sums.
    return torch.from_numpy((area.round(6) >= 0.5).astype(np.float32))[None]


def cell_means(values: np.ndarray, cells: int) -> np.ndarray:
    """Means (cells, m) of ``values`` (n, m) over equal parts of the first axis, which may cut through its pixels."""
    pixels = len(values)
    integral = np.concatenate([np.zeros_like(values[:1]), values.cumsum(0)])
    edges = np.linspace(0, pixels, cells + 1)
    below = np.minimum(edges.astype(int), pixels - 1)
    rest = (edges - below)[:, None]
    return np.diff(integral[below] * (1 - rest) + integral[below + 1] * rest, axis=0) * (cells / pixels)


def check_image(path: Path) -> tuple[int, int]:
    """Decode a picture completely; returns its width and height in pixels.

    Raises:
        InputError: no picture, a damaged or incomplete one, several in one file, 16 bits, transparency, a colour
            space other than grey and RGB, or a side shorter than `MIN_SIDE`.
    """
    size = _decode(path).size
    if min(size) < MIN_SIDE:
        raise InputError(f"{path}: is only {_shown(size)} pixels; remove it, each side needs at least {MIN_SIDE}")
    return size


def check_mask(path: Path, size: tuple[int, int]) -> None:
    """Decode a mask completely and compare it with the (width, height) of its image.

    Raises:
        InputError: what `check_image` says of a picture, another size than its image, colours, or values that are
            not 0 but all below the threshold (a mask of 0 and 1).
    """
    mask = _decode(path)
    if mask.size != size:
        raise InputError(
            f"{path}: is {_shown(mask.size)} pixels but its image is {_shown(size)}; a mask must have its image's size"
        )
    if mask.mode in ("RGB", "P") and np.ptp(np.asarray(mask.convert("RGB")), axis=-1).any():
        raise InputError(f"{path}: is a coloured mask; save it in grey, 255 where corrupted and 0 elsewhere")
    _, largest = mask.convert("L").getextrema()
    if 0 < largest <= 127:
        raise InputError(f"{path}: has no value above 127 (largest {largest}); save corrupted pixels as 255")


def _decode(path: Path) -> Image.Image:
    """The picture, upright and in memory."""
    try:
        with Image.open(path) as file:
            file.load()
            complaint = _complaint(file)
            image = ImageOps.exif_transpose(file)
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not recognised as a picture; replace it or remove it") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: is too large to be decoded safely ({error}); shrink it") from error
    except (OSError, SyntaxError, ValueError) as error:  # which of them depends on where Pillow finds the damage
        raise InputError(f"{path}: cannot be decoded ({error}); it is incomplete or damaged, copy it again") from error
    if complaint:
        raise InputError(f"{path}: {complaint}")
    return image


def _complaint(image: Image.Image) -> str | None:
    """What is wrong with a sound picture, and the remedy."""
    # A phone's JPEG may carry a preview as second frame (format MPO); its first is the picture.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        return f"holds {image.n_frames} pictures; save each to a file of its own"
    if image.has_transparency_data:
        return f"has an alpha channel (mode {image.mode}); save it without transparency"
    if image.mode.startswith("I"):
        return f"has more than 8 bits per pixel (mode {image.mode}); save it as 8-bit grey or RGB"
    if image.mode not in MODES:
        return f"has colour mode {image.mode}; save it as 8-bit grey or RGB"
    return None


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
