"""Pictures decoded once: the pixels of a set lie in one file, which every later run maps into memory.

The file's name is a hash of everything that determines the pixels, so that it never has to be brought up to date. It
holds a NumPy array (``.npy``), and behind that the CRC-32 of the pixels. Processes may build the same file at the same
time: each writes one of its own (``.part``) and then puts it in place whole, so that a kill leaves nothing but a
``.part``, which nobody reads and the first build after a day removes.
"""

import errno
import hashlib
import io
import logging
import os
import shutil
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
BoxFunction = Callable[
    [Path, tuple[int, int]], Box | None
]  # of a file, and its width and height: what to cut out of it
VERSION = 1  # of what `read_pixels` makes of a file, and of the format
PREFIX = "rgi-images-"
DAY = 24 * 60 * 60
MAX_AGE = {".part": DAY, ".npy": 60 * DAY}  # seconds after which a file has been abandoned


def cache_folder() -> Path:
    """``RGI_CACHE``, or ``rgi`` where the system's user keeps what can be made again."""
    if named := os.environ.get("RGI_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rgi"


def decoded_pixels(files: list[Path], channels: int, resolution: int, box: BoxFunction) -> np.ndarray:
    """The pixels of `read_pixels`, uint8 (N,C,H,W), not to be written to; in memory where the cache cannot be used.

    Raises:
        InputError: a file that cannot be read (any more).
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
    except OSError as error:  # the cache's: errors of the pictures are input errors
        log.warning(
            "%s: decoded images cannot be kept there (%s), so they take %.1f GiB of memory; "
            "set RGI_CACHE to a folder with room",
            path.parent,
            error.strerror or error,
            np.prod(shape) / 2**30,
        )
    pixels = np.empty(shape, np.uint8)
    for slot, image in zip(pixels, parallel_map(decode, pictures, "decoding images"), strict=True):
        slot[...] = image
    return pixels


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: can no longer be read ({error}); put it back, then start again")


def _header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _mapped(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A file's header, pixels and checksum; ValueError if it is too short for them."""
    header = len(_header(shape))
    whole = np.memmap(path, np.uint8, "r").view(np.ndarray)
    head, pixels, checksum = np.split(whole, [header, header + int(np.prod(shape))])
    return head, pixels.reshape(shape), checksum


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What an earlier run left, if it did, and nothing has happened to it since."""
    try:
        head, pixels, checksum = _mapped(path, shape)
    except FileNotFoundError:
        return None
    except ValueError:
        sound = False
    else:
        sound = head.tobytes() == _header(shape) and checksum.tobytes() == _checksum(zlib.crc32(pixels))
    if not sound:
        log.warning("%s: is damaged and will be made again", path)
        return None
    with suppress(OSError):  # somebody else's file, perhaps
        os.utime(path)
    return pixels


def _write(path: Path, shape: tuple[int, ...], images: Iterable[np.ndarray]) -> None:
    """Put a whole file in place, or raise and leave nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # Found out now, since a disk that fills up would take the other runs' checkpoints along.
    if shutil.disk_usage(path.parent).free < np.prod(shape):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    part = path.with_name(f"{path.stem}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:  # written, not mapped: a mapped file that finds no room kills the process
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
    """Remove what killed runs left, and images that nobody has used for long."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process may be sweeping
            if time.time() - path.stat().st_mtime > MAX_AGE.get(path.suffix, float("inf")):
                path.unlink()
