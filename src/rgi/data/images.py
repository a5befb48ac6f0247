"""Reading image and mask files as tensors, and checks of these files."""

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

MIN_SIDE = 16  # smallest allowed height and width of an image in pixels
MODES = ("L", "RGB", "1", "P")  # allowed colour modes of Pillow
# Formats that are decoded, whatever the file's suffix. Pillow would open an EPS file, too, by running Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
# Markers of metadata with an orientation in a PNG file. The metadata may follow the pixels.
PNG_MARKS = (b"eXIf", b"adobe.xmp", b"profile type exif")
LOWEST_CLASS = 8  # lowest grey value of a mask that may be a class; noise of JPEG compression is below
CHUNK = 256  # items that `parallel_map` submits at once; it bounds the number of results in memory

Item, Result = TypeVar("Item"), TypeVar("Result")
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the upright image


def read_image(path: Path, channels: int, resolution: int | None, box: Box | None = None) -> Tensor:
    """Read an image file as float32 (channels, resolution, resolution) in [-1, 1].

    The function applies the EXIF orientation, converts the colours (grey is the ITU-R 601 luma), crops the image to the
    box, and resizes it without keeping the aspect ratio. The resize filter is Pillow's antialiased bicubic filter.
    Pixels outside the box do not affect the result, except pixels that the border of the box cuts.

    Args:
        path: image file.
        channels: number of channels, 1 (grey) or 3 (RGB).
        resolution: height and width of the result in pixels; None for the size of the `whole_box`, without resizing.
        box: region to crop; None for the whole image.
    """
    return scale_pixels(torch.from_numpy(read_pixels(path, channels, resolution, box)))


def read_pixels(path: Path, channels: int, resolution: int | None, box: Box | None = None) -> np.ndarray:
    """The image of `read_image` before `scale_pixels`: uint8 (channels, resolution, resolution)."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
    if box is not None:
        # Without this crop, Pillow's filter would also use pixels outside the box.
        left, top, _, _ = whole = whole_box(image.size, box)
        image = image.crop(whole)
        box = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    if resolution is not None:
        image = image.resize((resolution, resolution), Image.Resampling.BICUBIC, box)
    pixels = np.array(image).reshape(*image.size[::-1], channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def whole_box(size: tuple[int, int], box: Box | None) -> tuple[int, int, int, int]:
    """The whole pixels that a box touches: left, top, right, bottom.

    Args:
        size: (width, height) of the image in pixels.
        box: region of the image; None for the whole image.
    """
    left, top, right, bottom = box or (0, 0, *size)
    return floor(left), floor(top), ceil(right), ceil(bottom)


def scale_pixels(pixels: Tensor) -> Tensor:
    """Convert uint8 pixels of any shape to float32 in [-1, 1]."""
    return pixels / 127.5 - 1


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file in pixels after the EXIF orientation, without decoding the pixels."""
    with Image.open(path) as file:
        width, height = file.size
        if file.format == "TIFF":  # only for TIFF, Pillow returns the size after the orientation
            width, height = (file.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
        # To find an orientation after the pixels of a PNG file, Pillow would decode the pixels.
        if file.format == "PNG" and not any(mark in path.read_bytes() for mark in PNG_MARKS):
            return width, height
        turned = file.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def is_grey(path: Path) -> bool:
    """Whether the colour mode or the palette of an image file contains only grey values."""
    with Image.open(path) as file:
        if file.mode == "P":
            return not np.ptp(np.reshape(file.getpalette("RGB"), (-1, 3)), axis=1).any()
        return file.mode in ("L", "1")


def read_mask(
    path: Path, resolution: int | None, box: Box | None = None, within: Path | None = None
) -> tuple[Tensor, bool]:
    """Read a mask file: float32 (1, resolution, resolution) in {0, 1}, and whether anything in the box is corrupted.

    A pixel is 1 if at least half of its area is above 127 in the file. A thin defect may cover no half of any pixel;
    the second result is True all the same.

    Args:
        path: mask file.
        resolution: height and width of the result in pixels; None for the size of the `whole_box`, without resizing.
        box: region to crop; None for the whole mask.
        within: mask file of the pixels that count; all others are 0 in the result. None if all pixels count.
    """
    white = _white(path) if within is None else _white(path) & _white(within)
    if resolution is None:
        left, top, right, bottom = whole_box(white.shape[::-1], box)
        white = white[top:bottom, left:right]
        return torch.from_numpy(white.astype(np.float32))[None], bool(white.any())
    left, top, right, bottom = box or (0, 0, *white.shape[::-1])
    area = cell_means(white.astype(np.float64), resolution, top, bottom)
    area = cell_means(area.T, resolution, left, right).T
    # Rounding errors of the sums must not change an area of exactly one half, nor make one of nothing.
    return torch.from_numpy((area.round(6) >= 0.5).astype(np.float32))[None], bool((area > 1e-9).any())


def _white(mask: Path) -> np.ndarray:
    """Whether each pixel (H,W) of a mask file is above 127."""
    with Image.open(mask) as file:
        return np.asarray(ImageOps.exif_transpose(file).convert("L")) > 127


def cell_means(values: np.ndarray, cells: int, first: float = 0, last: float | None = None) -> np.ndarray:
    """Means (cells, m) over equal cells of the first axis; the borders of cells may cut pixels.

    Args:
        values: array (n, m).
        cells: number of cells.
        first: position where the first cell begins, in pixels.
        last: position where the last cell ends, in pixels; None for the end of the axis.
    """
    last = len(values) if last is None else last
    integral = np.concatenate([np.zeros_like(values[:1]), values.cumsum(0)])
    edges = np.linspace(first, last, cells + 1)
    below = np.minimum(edges.astype(int), len(values) - 1)
    rest = (edges - below)[:, None]
    return np.diff(integral[below] * (1 - rest) + integral[below + 1] * rest, axis=0) * (cells / (last - first))


def check_image(path: Path) -> tuple[int, int]:
    """Decode an image file completely and check it; returns its width and height in pixels.

    Raises:
        InputError: the file is no image or is damaged, has several images, 16 bits, transparency, or a colour mode
            other than grey and RGB, or a side is shorter than `MIN_SIDE`.
    """
    return open_image(path).size


def open_image(path: Path) -> Image.Image:
    """The decoded image in its EXIF orientation, in the colour mode of the file.

    Raises:
        InputError: see `check_image`.
    """
    image = _decode(path)
    if min(image.size) < MIN_SIDE:
        raise InputError(
            f"{path}: has only {shown(image.size)} pixels; remove the file or use an image with at least "
            f"{MIN_SIDE} pixels per side"
        )
    return image


def check_mask(path: Path, size: tuple[int, int]) -> None:
    """Decode a mask file completely and check it.

    Args:
        path: mask file.
        size: (width, height) of the mask's image in pixels.

    Raises:
        InputError: the file has another size than its image, or `check_mask_content` raises an error.
    """
    check_mask_size(path, check_mask_content(path), size)


def check_mask_size(path: Path, size: tuple[int, int], image_size: tuple[int, int]) -> None:
    """Raise an error if a mask has another size, (width, height) in pixels, than its image."""
    if size != image_size:
        raise InputError(
            f"{path}: has {shown(size)} pixels but its image has {shown(image_size)}; save the mask in the "
            "size of its image"
        )


def check_mask_content(path: Path) -> tuple[int, int]:
    """Decode a mask file completely and check it; returns its width and height in pixels.

    Raises:
        InputError: the file is not a valid image (see `check_image`), has colours, has values above 0 but none above
            127, or has areas of a grey value below, which may be a class of its own.
    """
    mask = _decode(path)
    if mask.mode in ("RGB", "P") and np.ptp(np.asarray(mask.convert("RGB")), axis=-1).any():
        raise InputError(f"{path}: is a coloured mask; save it in grey, with 255 for corrupted pixels and 0 elsewhere")
    values = np.asarray(mask.convert("L"))
    if 0 < values.max() <= 127:
        raise InputError(f"{path}: has no value above 127 (highest value {values.max()}); save corrupted pixels as 255")
    classes = _grey_areas(values)
    if classes:
        raise InputError(
            f"{path}: has areas of the grey values {', '.join(map(str, classes))}, which would count as clean; save "
            "corrupted pixels as 255 and all other pixels as 0"
        )
    return mask.size


def _grey_areas(values: np.ndarray) -> list[int]:
    """Values from `LOWEST_CLASS` to 127 that fill 3x3 pixels somewhere: the soft edge of a mask has no such areas."""
    same = np.ones((max(values.shape[0] - 2, 0), max(values.shape[1] - 2, 0)), bool)
    centre = values[1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            same &= values[row : row + same.shape[0], column : column + same.shape[1]] == centre
    return [int(value) for value in np.unique(centre[same]) if LOWEST_CLASS <= value <= 127]


def _decode(path: Path) -> Image.Image:
    """The decoded image in its EXIF orientation."""
    try:
        with Image.open(path, formats=FORMATS) as file:
            file.load()
            complaint = _complaint(file, _bits(path, file))
            image = ImageOps.exif_transpose(file)
    except PermissionError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: is not recognised as an image ({', '.join(FORMATS)}); replace or remove the file"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: is too large to be decoded safely ({error}); resize the image") from error
    except Exception as error:  # the type depends on the format and on the position of the damage
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be decoded ({reason}); the file is damaged, copy it again") from error
    if complaint:
        raise InputError(f"{path}: {complaint}")
    return image


def _bits(path: Path, image: Image.Image) -> int:
    """Bits per channel in the file; Pillow cuts 16 bits of colour to 8 without a word."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]  # behind the signature, and length, name, width and height of the first chunk
    if image.format == "TIFF":
        return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (8,)))
    return 8


def _complaint(image: Image.Image, bits: int) -> str | None:
    """The problem of an image that can be decoded, with its remedy; None for a valid image.

    Args:
        image: decoded image.
        bits: bits per channel in the file.
    """
    # JPEG files of phones may have a preview as second frame (format MPO). The first frame is the image.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        return f"has {image.n_frames} images; save each image in a separate file"
    if image.has_transparency_data:
        return f"has an alpha channel (mode {image.mode}); save the image without transparency"
    if bits > 8 or image.mode.startswith("I"):
        return f"has more than 8 bits per channel (mode {image.mode}); save the image as 8-bit grey or RGB"
    if image.mode not in MODES:
        return f"has colour mode {image.mode}; save the image as 8-bit grey or RGB"
    return None


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> Iterator[Result]:
    """Parallel `map` with a progress bar: yields the results in the order of the items.

    The number of threads is `torch.get_num_threads()`. Threads suffice, because Pillow and hashlib release the GIL.

    Args:
        function: function of one item.
        items: arguments of the function.
        description: text beside the progress bar.
    """
    bar = tqdm(total=len(items), desc=description, unit="image", delay=3, leave=False)
    with bar, ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in range(0, len(items), CHUNK):
            for result in pool.map(function, items[start : start + CHUNK]):
                bar.update()
                yield result


def shown(size: tuple[int, int]) -> str:
    """Width and height in an error message."""
    return f"{size[0]}x{size[1]}"
