"""Pictures on disk to tensors, and the checks that come before."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil, floor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from rgi.errors import InputError

MIN_SIDE = 16
MODES = ("L", "RGB", "1", "P")
# What announces an orientation in a PNG, perhaps behind its pixels.
PNG_MARKS = (b"eXIf", b"adobe.xmp", b"profile type exif")
CHUNK = 256  # pictures given to threads at a time, so that results which nobody has fetched yet stay few

Item, Result = TypeVar("Item"), TypeVar("Result")
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the upright picture


def read_image(path: Path, channels: int, resolution: int, box: Box | None = None) -> Tensor:
    """A picture, or what lies in the box, as (channels, resolution, resolution) float32 in [-1, 1].

    The EXIF orientation is applied; grey and colour are converted into each other (ITU-R 601 luma); the picture is
    then cut and resized, aspect not kept, by Pillow's bicubic filter, which widens with the scale and so does not
    alias. Nothing outside the box is seen, up to the rest of a pixel that it cuts through.
    """
    return scale_pixels(torch.from_numpy(read_pixels(path, channels, resolution, box)))


def read_pixels(path: Path, channels: int, resolution: int, box: Box | None = None) -> np.ndarray:
    """The picture of `read_image` before it is scaled: uint8 (channels, resolution, resolution)."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
    if box is not None:
        # Given the box alone, Pillow's filter would reach for the pixels around it.
        left, top, right, bottom = box
        image = image.crop((floor(left), floor(top), ceil(right), ceil(bottom)))
        box = (left - floor(left), top - floor(top), right - floor(left), bottom - floor(top))
    image = image.resize((resolution, resolution), Image.Resampling.BICUBIC, box)
    return np.ascontiguousarray(np.array(image).reshape(resolution, resolution, channels).transpose(2, 0, 1))


def scale_pixels(pixels: Tensor) -> Tensor:
    """uint8 of any shape to float32 in [-1, 1]."""
    return pixels / 127.5 - 1


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels after the EXIF orientation, without decoding the picture."""
    with Image.open(path) as file:
        width, height = file.size
        if file.format == "TIFF":  # whose size Pillow has turned already, unlike that of all others
            width, height = (file.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
        # Pillow looks for the orientation of a PNG behind its pixels, too, and decodes them to get there.
        if file.format == "PNG" and not any(mark in path.read_bytes() for mark in PNG_MARKS):
            return width, height
        turned = file.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def is_grey(path: Path) -> bool:
    """Whether a picture is stored without colour, judged by its mode or palette."""
    with Image.open(path) as file:
        if file.mode == "P":
            return not np.ptp(np.reshape(file.getpalette("RGB"), (-1, 3)), axis=1).any()
        return file.mode in ("L", "1")


def read_mask(path: Path, resolution: int, box: Box | None = None) -> Tensor:
    """A mask as (1, resolution, resolution) float32 in {0, 1}: 1 where at least half of the area is above 127."""
    with Image.open(path) as file:
        values = np.asarray(ImageOps.exif_transpose(file).convert("L"))
    left, top, right, bottom = box or (0, 0, *values.shape[::-1])
    area = cell_means((values > 127).astype(np.float64), resolution, top, bottom)
    area = cell_means(area.T, resolution, left, right).T
    # Rounded because an exact half must count as such whatever the order of the sums.
    return torch.from_numpy((area.round(6) >= 0.5).astype(np.float32))[None]


def cell_means(values: np.ndarray, cells: int, first: float = 0, last: float | None = None) -> np.ndarray:
    """Means (cells, m) of ``values`` (n, m) over equal parts of the first axis, which may cut through its pixels.

    The parts divide what lies between ``first`` and ``last``, the whole axis if not given.
    """
    last = len(values) if last is None else last
    integral = np.concatenate([np.zeros_like(values[:1]), values.cumsum(0)])
    edges = np.linspace(first, last, cells + 1)
    below = np.minimum(edges.astype(int), len(values) - 1)
    rest = (edges - below)[:, None]
    return np.diff(integral[below] * (1 - rest) + integral[below + 1] * rest, axis=0) * (cells / (last - first))


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


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> Iterator[Result]:
    """The function of every item, in order, by as many threads as torch uses, with a progress bar.

    Pillow and hashing leave Python's lock to others while they work.
    """
    bar = tqdm(total=len(items), desc=description, unit="image", delay=3, leave=False)
    with bar, ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in range(0, len(items), CHUNK):
            for result in pool.map(function, items[start : start + CHUNK]):
                bar.update()
                yield result


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
