"""Disk cache of decoded images: one file holds the pixels of a dataset, and later runs map this file into memory.

The name of the file is a hash of everything that determines the pixels, so a file never becomes outdated. The file
holds a NumPy array (``.npy``), followed by the CRC-32 of the pixels.

Several processes may build the same file at the same time. Each process writes its own ``.part`` file and then renames
it. A killed process leaves only a ``.part`` file. Such files are never read, and are deleted after one day.
"""

import errno
import hashlib
import io
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import PIL

from rgi.data.images import Box, parallel_map, read_mask, read_pixels, upright_size
from rgi.data.patches import random_patches
from rgi.errors import InputError

log = logging.getLogger(__name__)
# Maps a file and its (width, height) in pixels to the region to crop; None for the whole image.
BoxFunction = Callable[[Path, tuple[int, int]], Box | None]
VERSION = 1  # increase it after a change of `read_pixels`, of patches or of the file format
PREFIX = "rgi-images-"
DAY = 24 * 60 * 60
MAX_AGE = {".part": DAY, ".npy": 60 * DAY, ".checked": 60 * DAY}  # seconds since the last use until a file is deleted


class Facts(NamedTuple):
    """What a check has found of a file.

    Attributes:
        size: (width, height) in pixels after the EXIF orientation.
        grey: whether the file has only grey values.
        sha256: hash of the file's bytes.
    """

    size: tuple[int, int]
    grey: bool
    sha256: str


def cache_folder() -> Path:
    """Folder of the cache: ``RGI_CACHE``, or ``rgi`` in the user's cache, or in the system's temporary folder.

    A container may run with a user that has no home.
    """
    if folder := os.environ.get("RGI_CACHE"):
        return Path(folder).expanduser()
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and no such user
        base = Path(tempfile.gettempdir())
    return base / "rgi"


@dataclass(frozen=True)
class Reading:
    """How image files become images of equal size.

    Attributes:
        channels: number of channels C, 1 or 3.
        resolution: height and width of an image in pixels.
        box: function that returns the region to crop.
        patches: number of random patches of each file at its own scale; 0 for the whole picture, resized.
        roi: mask file of the pixels that count; a patch shows at least half of such pixels. None if all pixels count.
    """

    channels: int
    resolution: int
    box: BoxFunction
    patches: int = 0
    roi: Path | None = None

    @property
    def per_file(self) -> int:
        """Number of images that a file becomes."""
        return max(1, self.patches)

    def read(self, path: Path, box: Box | None, sha256: str) -> np.ndarray:
        """The images of a file, uint8 (per_file,C,H,W).

        Args:
            path: image file.
            box: region to crop; None for the whole image.
            sha256: hash of the file; it decides the places of the patches.
        """
        if not self.patches:
            return read_pixels(path, self.channels, self.resolution, box)[None]
        counted = None if self.roi is None else read_mask(self.roi, None, box)[0][0].bool().numpy()
        picture, rng = read_pixels(path, self.channels, None, box), np.random.default_rng(int(sha256[:16], 16))
        return random_patches(picture, self.resolution, self.patches, rng, counted)

    def recipe(self) -> tuple:
        """All that determines the images besides the contents of their files and the boxes."""
        size = self.channels, self.resolution
        if not self.patches:
            return size
        return (*size, self.patches, None if self.roi is None else file_hash(self.roi))


def decoded_pixels(
    files: Sequence[Path], reading: Reading, known: Callable[[Path], Facts | None] = lambda path: None
) -> np.ndarray:
    """Pixels of all files from the cache, read-only uint8 (N,C,H,W).

    The first call decodes the files and writes the cache. If the cache cannot be written, the function logs a warning
    and keeps the pixels in memory.

    Args:
        files: image files; N is their number times ``reading.per_file``.
        reading: how files become images.
        known: function that returns what an earlier check has found of a file, which is then not read for its hash.

    Raises:
        InputError: a file cannot be read.
    """

    def facts(path: Path) -> tuple[str, Box | None]:
        try:
            return file_hash(path), reading.box(path, upright_size(path))
        except OSError as error:
            raise _unreadable(path, error) from error

    def decode(picture: tuple[Path, tuple[str, Box | None]]) -> np.ndarray:
        path, (sha256, box) = picture
        try:
            return reading.read(path, box, sha256)
        except OSError as error:
            raise _unreadable(path, error) from error

    recorded = {path: (found.sha256, reading.box(path, found.size)) for path in files if (found := known(path))}
    new = [path for path in files if path not in recorded]
    recorded |= zip(new, parallel_map(facts, new, "reading images"), strict=True)
    pictures = [(path, recorded[path]) for path in files]
    recipe = repr((VERSION, PIL.__version__, *reading.recipe(), [content for _, content in pictures]))
    path = cache_folder() / f"{PREFIX}{hashlib.sha256(recipe.encode()).hexdigest()}.npy"
    shape = (len(files) * reading.per_file, reading.channels, reading.resolution, reading.resolution)
    try:
        if (pixels := _kept(path, shape)) is None:
            _write(path, shape, parallel_map(decode, pictures, "decoding images"))
            pixels = _mapped(path, shape)[1]
        return pixels
    except OSError as error:  # an error of the cache; errors of image files are InputErrors
        log.warning(
            "%s: the cache of decoded images cannot be written (%s), so the images take %.1f GiB of memory; "
            "set RGI_CACHE to a folder with free space",
            path.parent,
            error.strerror or error,
            np.prod(shape) / 2**30,
        )
    pixels = np.empty((len(files), reading.per_file, *shape[1:]), np.uint8)
    for slot, images in zip(pixels, parallel_map(decode, pictures, "decoding images"), strict=True):
        slot[...] = images
    return pixels.reshape(shape)


def file_hash(path: Path) -> str:
    """SHA-256 of a file as text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read any more ({error}); restore the file and start again")


def _header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _mapped(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Header, pixels and checksum of a cache file; ValueError if the file is too short."""
    header = len(_header(shape))
    whole = np.memmap(path, np.uint8, "r").view(np.ndarray)
    head, pixels, checksum = np.split(whole, [header, header + int(np.prod(shape))])
    return head, pixels.reshape(shape), checksum


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Pixels of an existing cache file; None if the file is missing or damaged."""
    try:
        head, pixels, checksum = _mapped(path, shape)
    except FileNotFoundError:
        return None
    except ValueError:
        sound = False
    else:
        sound = head.tobytes() == _header(shape) and checksum.tobytes() == _checksum(zlib.crc32(pixels))
    if not sound:
        log.warning("%s: the cache file is damaged and will be made again", path)
        return None
    with suppress(OSError):  # the file may belong to another user
        os.utime(path)
    return pixels


def _write(path: Path, shape: tuple[int, ...], images: Iterable[np.ndarray]) -> None:
    """Write a complete cache file, or raise OSError and leave no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # Checked before writing, because a full disk would also stop the checkpoints of other runs.
    if shutil.disk_usage(path.parent).free < np.prod(shape):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    part = path.with_name(f"{path.stem}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:  # not memory-mapped: a full disk would kill the process
            file.write(_header(shape))
            crc = 0
            for image in images:
                file.write(image)
                crc = zlib.crc32(image, crc)
            file.write(_checksum(crc))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _checksum(crc: int) -> bytes:
    return crc.to_bytes(4, "little")


def _sweep(folder: Path) -> None:
    """Delete files that are older than `MAX_AGE`."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process may delete the same file
            if time.time() - path.stat().st_mtime > MAX_AGE.get(path.suffix, float("inf")):
                path.unlink()
