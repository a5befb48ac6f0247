"""Download of public archives, with a check of the SHA-256 hash and safe extraction."""

import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pooch import HTTPDownloader, file_hash
from requests.exceptions import HTTPError
from tqdm import tqdm

from rgi.errors import InputError

TIMEOUT = 60  # seconds without data, after which the download fails
CHUNK = 2**20  # bytes per read
NOTHING_LEFT = 416  # HTTP status: the requested range begins after the end of the file


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
        InputError: the download fails, the hash differs, the disk is full, or the archive is damaged or would write
            outside ``target``.
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
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
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


def _unpack(archive: Path, folder: Path, name: str) -> None:
    bar = {"desc": f"unpacking {name}", "unit": "file", "delay": 3}
    folder.mkdir()
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.namelist():
                path = PurePosixPath(entry)
                # zipfile would silently extract such an entry to another place
                if path.is_absolute() or ".." in path.parts:
                    raise zipfile.BadZipFile(f"{entry!r} would be extracted outside the destination")
            file.extractall(folder, tqdm(file.namelist(), **bar))
    else:
        with tarfile.open(archive) as file:
            file.extractall(folder, tqdm(file, **bar), filter="data")


def _move(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        if not (target / entry.name).exists():
            os.replace(entry, target / entry.name)
