import hashlib
import io
import tarfile
import zipfile
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest
from helpers.serving import serving

from rgi.data.download import download
from rgi.errors import InputError

PAGE = "https://example.org/data"
FILES = {"screw/train/000.txt": b"first", "screw/test/001.txt": b"second" * 1000, "license.txt": b"free"}


def tar(path, files, mode="w:xz"):
    with tarfile.open(path, mode) as file:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


def tar_with_link(path, target):
    with tarfile.open(path, "w") as file:
        entry = tarfile.TarInfo("screw")
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        file.addfile(entry)
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder; promises more than it sends for files named ``short*``, and continues ``resumed*``."""

    ranges: ClassVar[list[str]] = []

    def log_message(self, *args):
        pass

    def send_header(self, keyword, value):
        if keyword == "Content-Length" and self.path.startswith("/short"):
            value = str(int(value) + 1000)
        super().send_header(keyword, value)

    def do_GET(self):
        wanted = self.headers.get("Range")
        Quiet.ranges.append(wanted)
        if wanted is None or not self.path.startswith("/resumed"):
            super().do_GET()
            return
        rest = Path(self.translate_path(self.path)).read_bytes()[int(wanted.removeprefix("bytes=").rstrip("-")) :]
        self.send_response(206 if rest else 416)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder served at an address, and an empty folder to download below."""
    Quiet.ranges.clear()
    served, home = tmp_path / "served", tmp_path / "home"
    served.mkdir()
    home.mkdir()
    with serving(served, monkeypatch, Quiet) as address:
        yield address, served, home


def refused(home, *arguments):
    """The one line of the error; everything below ``home`` must be as before."""
    before = sorted(home.rglob("*"))
    with pytest.raises(InputError) as error:
        download(*arguments, PAGE)
    assert sorted(home.rglob("*")) == before
    message = str(error.value)
    assert message.startswith(arguments[0])
    assert "\n" not in message
    assert f"get the archive from {PAGE} and extract it into {arguments[2]}" in message
    return message


@pytest.mark.parametrize("kind", ["a.tar.xz", "a.tar.gz", "a.tar", "a.zip"])
def test_an_archive_arrives(places, kind):
    address, served, home = places
    modes = {"a.tar.xz": "w:xz", "a.tar.gz": "w:gz", "a.tar": "w"}
    path = tar(served / kind, FILES, modes[kind]) if kind in modes else zipped(served / kind, FILES)
    target = home / "data" / "set"
    download(f"{address}/{kind}", sha256(path), target, PAGE)
    assert content(target) == FILES
    assert sorted(path.name for path in home.rglob("*") if path.parent in (home, home / "data")) == ["data", "set"]


def test_what_is_there_stays(places):
    address, served, home = places
    path = tar(served / "a.tar.xz", FILES)
    (home / "license.txt").write_bytes(b"mine")
    download(f"{address}/a.tar.xz", sha256(path), home, PAGE)
    assert content(home) == FILES | {"license.txt": b"mine"}


def test_wrong_hash(places):
    address, served, home = places
    path = tar(served / "a.tar.xz", FILES)
    message = refused(home, f"{address}/a.tar.xz", "0" * 64, home / "set")
    assert sha256(path) in message
    assert "0" * 64 in message


@pytest.mark.parametrize("kept", [1, 100, "all"])
@pytest.mark.parametrize("name", ["resumed.tar.xz", "whole.tar.xz"])
def test_a_lost_connection_costs_nothing_that_arrived(places, name, kept, monkeypatch):
    """The second call asks for the rest alone. A server that sends everything again is no problem either."""
    monkeypatch.setattr("rgi.data.download.CHUNK", 1)  # what arrives before the end of a chunk is lost
    address, served, home = places
    path = tar(served / "short.tar.xz", FILES)
    archive, whole = path.read_bytes(), sha256(path)
    kept = len(archive) if kept == "all" else kept
    path.write_bytes(archive[:kept])
    with pytest.raises(InputError, match=r"cannot be downloaded .* run the command again to continue"):
        download(f"{address}/short.tar.xz", whole, home / "set", PAGE)
    (part,) = home.iterdir()
    assert part.read_bytes() == archive[:kept]
    part.rename(part.with_name(part.name.replace("short.tar.xz", name)))
    (served / name).write_bytes(archive)
    download(f"{address}/{name}", whole, home / "set", PAGE)
    assert content(home / "set") == FILES
    assert [path.name for path in home.iterdir()] == ["set"]
    assert Quiet.ranges[1] == f"bytes={kept}-"


def test_no_such_file(places):
    address, _, home = places
    assert "404" in refused(home, f"{address}/b.tar.xz", "0" * 64, home / "deep" / "set")


def test_no_server(places):
    _, _, home = places
    assert "check network" in refused(home, "http://127.0.0.1:9/a.tar.xz", "0" * 64, home / "set")


def test_no_archive(places):
    address, served, home = places
    path = served / "a.tar.xz"
    path.write_text("<html>please log in</html>")
    assert "cannot be unpacked" in refused(home, f"{address}/a.tar.xz", sha256(path), home / "set")


def test_a_file_in_the_way(places):
    address, served, home = places
    path = tar(served / "a.tar.xz", FILES)
    (home / "set").write_text("a file")
    refused(home, f"{address}/a.tar.xz", sha256(path), home / "set")


EVIL = {
    "tar above": lambda path: tar(path, {"../evil.txt": b"x"} | FILES, "w"),
    "tar deep": lambda path: tar(path, FILES | {"screw/../../../evil.txt": b"x"}, "w"),
    "tar link above": lambda path: tar_with_link(path, "../../.."),
    "tar link absolute": lambda path: tar_with_link(path, "/etc"),
    "zip above": lambda path: zipped(path, FILES | {"screw/../../evil.txt": b"x"}),
    "zip absolute": lambda path: zipped(path, FILES | {"/evil.txt": b"x"}),
}


@pytest.mark.parametrize("kind", EVIL)
def test_archives_that_leave_their_folder(places, kind):
    address, served, home = places
    path = EVIL[kind](served / "evil.archive")
    message = refused(home, f"{address}/evil.archive", sha256(path), home / "set")
    assert "cannot be unpacked safely" in message
    assert not list(home.parent.rglob("evil.txt"))


def tar_of(path, *entries):
    """A tar archive of entries with (name, type, target)."""
    with tarfile.open(path, "w") as file:
        for name, kind, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            file.addfile(entry)
    return path


def sparse_tar(path):
    """One byte of data that stands for a file of 1 TiB with a hole."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as file:
        entry = tarfile.TarInfo("screw/000.png")
        entry.size = 512
        entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40)}
        file.addfile(entry, io.BytesIO(b"1\n0\n1\n".ljust(512, b"\0")))
    return path


def zip_of_zeros(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.png", bytes(2 * 10**7))
    return path


def zip_that_lies(path):
    """The same bomb, whose headers promise ten bytes."""
    content = zip_of_zeros(path).read_bytes()
    path.write_bytes(content.replace((2 * 10**7).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    return path


def encrypted_zip(path):
    """A zip archive whose entry claims to be encrypted."""
    content = bytearray(zipped(path, {"a.png": b"x"}).read_bytes())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(header) + flags] |= 1
    path.write_bytes(content)
    return path


MANY = {f"{number}": b"" for number in range(12)}
BOMBS = {
    "tar.gz of zeros": (lambda path: tar(path, {"zeros.png": bytes(2 * 10**7)}, "w:gz"), "100 times as large"),
    "tar.xz of zeros": (lambda path: tar(path, {"zeros.png": bytes(2 * 10**7)}, "w:xz"), "100 times as large"),
    "tar.gz with a long name": (lambda path: tar(path, {"x" * 10**7: b""}, "w:gz"), "100 times as large"),
    "zip of zeros": (zip_of_zeros, "100 times as large"),
    "zip that lies": (zip_that_lies, "zeros.png"),
    "sparse tar": (sparse_tar, "neither a file nor a folder"),
    "tar of many": (lambda path: tar(path, MANY, "w"), "more than 10 entries"),
    "zip of many": (lambda path: zipped(path, MANY), "more than 10 entries"),
    "hard link": (lambda path: tar_of(path, ("a", tarfile.LNKTYPE, "../../home")), "'a' is neither a file nor"),
    "link inside": (lambda path: tar_of(path, ("a", tarfile.SYMTYPE, "b")), "'a' is neither a file nor"),
    "device": (lambda path: tar_of(path, ("null", tarfile.CHRTYPE, "")), "'null' is neither a file nor"),
    "pipe": (lambda path: tar_of(path, ("pipe", tarfile.FIFOTYPE, "")), "'pipe' is neither a file nor"),
    "file as folder": (lambda path: tar(path, {"a": b"x", "a/b": b"y"}, "w"), "a"),
    "encrypted zip": (encrypted_zip, "encrypted"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_links_and_devices_are_refused(places, kind, monkeypatch):
    """The limit on entries is lowered, so that the archive stays small."""
    monkeypatch.setattr("rgi.data.download.MAX_ENTRIES", 10)
    address, served, home = places
    make, words = BOMBS[kind]
    path = make(served / "bomb.archive")
    message = refused(home, f"{address}/bomb.archive", sha256(path), home / "set")
    assert "cannot be unpacked safely" in message
    assert words in message


@pytest.mark.parametrize("kind", ["a.tar.xz", "a.zip"])
def test_space_for_other_programs_stays_free(places, kind, monkeypatch):
    """The archive is kept, so that nothing must be downloaded again after the disk has been cleaned."""
    address, served, home = places
    path = tar(served / kind, FILES) if kind == "a.tar.xz" else zipped(served / kind, FILES)
    monkeypatch.setattr("rgi.data.download.RESERVE", 2**60)
    with pytest.raises(InputError, match=r"No space left .* run the command again to continue"):
        download(f"{address}/{kind}", sha256(path), home / "set", PAGE)
    (kept,) = home.iterdir()
    assert kept.read_bytes() == path.read_bytes()


def test_of_two_entries_of_one_name_the_last_counts(places):
    address, served, home = places
    path = served / "a.tar"
    with tarfile.open(path, "w") as file:
        for data in (b"first", b"last"):
            entry = tarfile.TarInfo("a.txt")
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    download(f"{address}/a.tar", sha256(path), home / "set", PAGE)
    assert content(home / "set") == {"a.txt": b"last"}
