"""Public archives: fetched, verified, and unpacked without trusting what is in them."""

import hashlib
import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import urlopen

from tqdm import tqdm

from rgi.errors import InputError

TIMEOUT = 60  # seconds without a byte
CHUNK = 2**20


def download(url: str, sha256: str, target: Path, page: str) -> None:
    """Fetch a tar or zip archive and put what it holds into ``target``, all of it or nothing.

    Entries that ``target`` has already are kept as they are. Work goes on in a hidden folder on the same disk, which
    is gone afterwards, whatever happens.

    Args:
        url: the archive.
        sha256: hexadecimal, of the archive.
        target: a folder, which need not exist.
        page: where a person finds the archive, for messages.

    Raises:
        InputError: no network, no such address, another hash, no room, or an archive that is broken or would write
            outside ``target``.
    """
    name = Path(urlsplit(url).path).name
    by_hand = f"get the archive from {page} and extract it into {target}"
    folder = target.resolve()
    anchor = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=anchor) as scratch:
            archive, unpacked = Path(scratch, f"{name}.part"), Path(scratch, "unpacked")
            found = _fetch(url, archive, name)
            if found != sha256:
                raise InputError(
                    f"{url}: arrived incomplete or changed (sha256 {found}, expected {sha256}); try again, or {by_hand}"
                )
            _unpack(archive, unpacked, name)
            _move(unpacked, folder)
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{url}: cannot be unpacked safely ({reason}); {by_hand}") from error
    except (OSError, HTTPException) as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); check network and disk, or {by_hand}") from error


def _fetch(url: str, path: Path, name: str) -> str:
    """Stream to a file; returns the SHA-256 of what came."""
    digest = hashlib.sha256()
    with urlopen(url, timeout=TIMEOUT) as response, path.open("wb") as file:
        total = int(response.headers.get("Content-Length", 0)) or None
        with tqdm(total=total, desc=name, unit="B", unit_scale=True, unit_divisor=1024, delay=3) as bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path, name: str) -> None:
    bar = {"desc": f"unpacking {name}", "unit": "file", "delay": 3}
    folder.mkdir()
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.namelist():
                path = PurePosixPath(entry)
                # zipfile would silently put such an entry elsewhere
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
