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
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
import PIL

from rgi.data.images import Box, parallel_map, read_pixels, upright_size
from rgi.errors import InputError

log = logging.getLogger(__name__)
# Maps a file and its (width, height) in pixels to the region to crop; None for the whole image.
BoxFunction = Callable[[Path, tuple[int, int]], Box | None]
VERSION = 1  # increase it after a change of `read_pixels` or of the file format
PREFIX = "rgi-images-"
DAY = 24 * 60 * 60
MAX_AGE = {".part": DAY, ".npy": 60 * DAY}  # seconds since the last use, after which a file is deleted


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


def decoded_pixels(files: list[Path], channels: int, resolution: int, box: BoxFunction) -> np.ndarray:
    """Pixels of all files from the cache, read-only uint8 (N,C,H,W).

    The first call decodes the files with `read_pixels` and writes the cache. If the cache cannot be written, the
    function logs a warning and keeps the pixels in memory.

    Args:
        files: N image files.
        channels: number of channels C, 1 or 3.
        resolution: height and width in pixels.
        box: function that returns the region to crop.

    Raises:
        InputError: a file cannot be read.
    """

    def fingerprint(path: Path) -> tuple[str, Box | None]:
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), box(path, upright_size(path))
        except OSError as error:
            raise _unreadable(path, error) from error

    def decode(picture: tuple[Path, Box | None]) -> np.ndarray:
        try:
            return read_pixels(picture[0], channels, resolution, picture[1])
        except OSError as error:
            raise _unreadable(picture[0], error) from error

    contents = list(parallel_map(fingerprint, files, "reading images"))
    recipe = repr((VERSION, PIL.__version__, channels, resolution, contents))
    path = cache_folder() / f"{PREFIX}{hashlib.sha256(recipe.encode()).hexdigest()}.npy"
    shape = (len(files), channels, resolution, resolution)
    pictures = [(file, cut) for file, (_, cut) in zip(files, contents, strict=True)]
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
    pixels = np.empty(shape, np.uint8)
    for slot, image in zip(pixels, parallel_map(decode, pictures, "decoding images"), strict=True):
        slot[...] = image
    return pixels


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
