"""Download of public archives, with a check of the SHA-256 hash and safe extraction."""

import errno
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from pooch import HTTPDownloader, file_hash
from requests.exceptions import HTTPError
from tqdm import tqdm

from rgi.errors import InputError

TIMEOUT = 60  # seconds without data, after which the download fails
CHUNK = 2**20  # bytes per read
NOTHING_LEFT = 416  # HTTP status: the requested range begins after the end of the file
MAX_ENTRIES = 100_000  # files and folders in an archive
MAX_GROWTH = 100  # content per byte of archive; images are compressed already
RESERVE = 2**30  # bytes that stay free on the disk for other programs
COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open}  # of tar archives, by first bytes
# The archive is damaged, or contains something that must not be extracted.
UNUSABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError),
    # zipfile and tarfile raise these for fields that are out of range
    *(RuntimeError, ValueError, LookupError, OverflowError),
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # an entry is in the place of another
)


def download(url: str, sha256: str, target: Path, page: str) -> None:
    """Download a tar or zip archive and extract it into a folder.

    Existing entries of the folder are kept. After an error during the extraction, the folder is unchanged. An
    interrupted download leaves a hidden file on the same disk, and the next call continues this download.

    Args:
        url: address of the archive.
        sha256: hash of the archive, as hexadecimal text.
        target: folder for the content of the archive; created if it does not exist.
        page: address of a web page with the archive, for error messages.

    Raises:
        InputError: the download fails, the hash differs, the disk is full, or the archive is damaged, has links or
            devices, would write outside ``target``, or exceeds `MAX_ENTRIES` or `MAX_GROWTH`.
    """
    name = Path(urlsplit(url).path).name
    by_hand = f"get the archive from {page} and extract it into {target}"
    folder = target.resolve()
    if folder.is_file():
        raise InputError(f"{url}: {target} is a file; name a folder, or {by_hand}")
    anchor = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    archive = anchor / f".download-{sha256[:12]}-{name}"
    try:
        resumed = archive.exists()
        arrived = _fetch(url, archive, name)
        if resumed and arrived != sha256:  # some servers cannot continue a partial download
            archive.unlink()
            arrived = _fetch(url, archive, name)
        if arrived != sha256:
            archive.unlink()
            raise InputError(
                f"{url}: the downloaded file is incomplete or changed (sha256 {arrived}, expected {sha256}); "
                f"try again, or {by_hand}"
            )
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=anchor) as scratch:
            unpacked = Path(scratch, "unpacked")
            _unpack(archive, unpacked, name)
            _move(unpacked, folder)
        archive.unlink()
    except InputError:
        raise
    except UNUSABLE as error:
        archive.unlink()
        reason = " ".join(str(error).split())
        raise InputError(f"{url}: cannot be unpacked safely ({reason}); {by_hand}") from error
    except OSError as error:  # errors of requests are OSErrors, too
        raise InputError(
            f"{url}: cannot be downloaded ({error}); check network and disk and run the command again to "
            f"continue the download, or {by_hand}"
        ) from error


def _fetch(url: str, path: Path, name: str) -> str:
    """Download the missing part of a file; returns the SHA-256 of the complete file."""
    done = path.stat().st_size if path.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    bar = tqdm(desc=name, total=1, unit="B", unit_scale=True, unit_divisor=1024, delay=3)  # pooch sets the total
    try:
        with bar, path.open("ab") as file:
            HTTPDownloader(bar, CHUNK, timeout=TIMEOUT, headers=headers)(url, file, None)
    except HTTPError as error:
        if error.response.status_code != NOTHING_LEFT:
            raise
    finally:
        if not path.stat().st_size:
            path.unlink()
    return file_hash(str(path))


@dataclass
class _Limits:
    """Limits on the content of an archive.

    Attributes:
        size: size of the content in bytes that is unusual for images.
        room: free space on the disk in bytes.
    """

    size: int
    room: int

    def check_size(self, size: int) -> None:
        """Raise an error if content of this size must not be extracted."""
        if size > self.size:
            raise tarfile.ReadError(f"its content is more than {MAX_GROWTH} times as large as the archive")
        if size > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def check_count(self, count: int) -> None:
        """Raise an error if so many entries must not be extracted."""
        if count > MAX_ENTRIES:
            raise tarfile.ReadError(f"it has more than {MAX_ENTRIES} entries")


@dataclass
class _LimitedStream:
    """A decompressed tar archive that ends in an error at a limit: a tar archive does not tell its size beforehand."""

    stream: BinaryIO
    limits: _Limits

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, position: int) -> int:
        self.limits.check_size(position)
        return self.stream.seek(position)

    def read(self, size: int) -> bytes:
        self.limits.check_size(self.tell() + size)
        return self.stream.read(size)


def _unpack(archive: Path, folder: Path, name: str) -> None:
    bar = {"desc": f"unpacking {name}", "unit": "file", "delay": 3}
    folder.mkdir()
    limits = _Limits(MAX_GROWTH * archive.stat().st_size, shutil.disk_usage(folder).free - RESERVE)
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            limits.check_count(len(file.infolist()))
            limits.check_size(sum(entry.file_size for entry in file.infolist()))
            for entry in file.namelist():
                path = PurePosixPath(entry)
                # zipfile would silently extract such an entry to another place
                if path.is_absolute() or ".." in path.parts:
                    raise zipfile.BadZipFile(f"{entry!r} would be extracted outside the destination")
            file.extractall(folder, tqdm(file.namelist(), **bar))
    else:
        with archive.open("rb") as file:
            head = file.read(max(map(len, COMPRESSIONS)))
        decompress = next((function for magic, function in COMPRESSIONS.items() if head.startswith(magic)), open)
        with (
            decompress(archive, "rb") as stream,
            tarfile.open(fileobj=_LimitedStream(stream, limits), mode="r:") as file,
        ):
            file.extractall(folder, tqdm(_plain_entries(file, limits), **bar), filter="data")


def _plain_entries(file: tarfile.TarFile, limits: _Limits) -> Iterator[tarfile.TarInfo]:
    """Files and folders of a tar archive; an error for other entries.

    With links, some releases of Python can be made to write outside the folder, in spite of tarfile's filter.
    """
    for count, entry in enumerate(file, start=1):
        limits.check_count(count)
        if entry.issparse() or not (entry.isfile() or entry.isdir()):
            raise tarfile.ReadError(f"{entry.name!r} is neither a file nor a folder")
        yield entry


def _move(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        if not (target / entry.name).exists():
            os.replace(entry, target / entry.name)
