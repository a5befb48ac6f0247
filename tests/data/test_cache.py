"""What comes out of the cache is what decoding gives, whatever has happened to the cache."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from rgi.data import cache
from rgi.data.files import CleanImages
from rgi.data.images import read_image
from rgi.errors import InputError

COUNT = 20


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number:02d}.png" for number in range(COUNT)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(path)
    return paths


def whole(path, size):
    return None


def middle(path, size):
    return size[0] / 4, size[1] / 4, size[0] * 3 / 4, size[1] * 3 / 4


def images(files, channels=3, resolution=16, box=whole):
    return CleanImages(files, channels, resolution, box)


def right(found):
    """Whether every image is what its file holds."""
    return all(
        torch.equal(
            found[i],
            read_image(path, found.channels, found.resolution, found.box(path, Image.open(path).size)),
        )
        for i, path in enumerate(found.files)
    )


@pytest.fixture
def no_decoding(monkeypatch):
    """Call it, and nothing can be decoded any more."""

    def fail(*arguments):
        raise AssertionError("decoded")

    return lambda: monkeypatch.setattr(cache, "read_pixels", fail)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("box", [whole, middle])
def test_the_images_are_those_of_the_files(files, channels, box):
    assert right(images(files, channels, 24, box))


def test_a_batch_is_the_images_one_by_one(files):
    found = images(files)
    batch = found.__getitems__([3, 0, 3, 19])
    assert batch.dtype == torch.uint8
    assert torch.equal(batch / 127.5 - 1, torch.stack([found[i] for i in (3, 0, 3, 19)]))
    batch.zero_()
    assert right(found)
    with pytest.raises(IndexError):
        found[COUNT]


def test_nothing_is_decoded_twice(files, home, no_decoding):
    expected = [image.clone() for image in images(files)]
    no_decoding()
    assert all(map(torch.equal, images(files), expected))
    assert len(list(home.iterdir())) == 1


def test_the_file_is_a_numpy_array(files, home):
    found = images(files).__getitems__(list(range(COUNT)))
    assert np.array_equal(np.load(next(home.glob("*.npy")), mmap_mode="r"), found.numpy())


def test_nothing_is_decoded_before_it_is_asked_for(files, home):
    assert len(images(files)) == COUNT
    assert not home.exists()


def test_whatever_determines_the_images_makes_another_file(files, home):
    variants = {
        "as it is": images(files),
        "channels": images(files, channels=1),
        "resolution": images(files, resolution=24),
        "box": images(files, box=middle),
        "order": images(files[::-1]),
        "fewer": images(files[1:]),
    }
    for known, variant in enumerate(variants.values()):
        assert right(variant)
        assert len(list(home.iterdir())) == known + 1
    shutil.copy(files[0], files[1])
    assert right(images(files))
    assert len(list(home.iterdir())) == len(variants) + 1


def test_names_and_places_do_not_matter(files, tmp_path, no_decoding):
    expected = [image.clone() for image in images(files)]
    (tmp_path / "elsewhere").mkdir()
    moved = [shutil.move(path, tmp_path / "elsewhere" / f"x{path.name}") for path in files]
    no_decoding()
    assert all(map(torch.equal, images(moved), expected))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def extended(path):
    path.write_bytes(path.read_bytes() + b"x")


def one_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def other_shape(path):
    path.write_bytes(path.read_bytes().replace(b"(20, 3, 16, 16)", b"(10, 3, 32, 16)"))


def emptied(path):
    path.write_bytes(b"")


def replaced(path):
    path.write_text("something else")


@pytest.mark.parametrize("damage", [cut, extended, one_bit, other_shape, emptied, replaced])
def test_a_damaged_file_is_made_again(files, home, damage, caplog, no_decoding):
    images(files)[0]
    (path,) = home.iterdir()
    damage(path)
    assert right(images(files))
    assert f"{path}: the cache file is damaged" in caplog.text
    no_decoding()
    images(files)[0]


BUILD = """
import sys, time
from pathlib import Path
from rgi.data import cache
from rgi.data.files import CleanImages

read = cache.read_pixels

def slowly(*arguments):
    time.sleep(0.1)
    return read(*arguments)

cache.read_pixels = slowly
images = CleanImages([Path(path) for path in sys.argv[1:]], 3, 16, lambda path, size: None)
print(sum(image.double().sum().item() for image in images))
"""


@pytest.fixture
def slow_process(files, home):
    """Another process, in the middle of building the cache."""
    command = [sys.executable, "-c", BUILD, *map(str, files)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=one_thread) as running:
        while running.poll() is None and not list(home.glob("*.part")):
            time.sleep(0.01)
        yield running
        running.kill()


def test_two_processes_at_once(files, home, slow_process):
    assert right(images(files))
    total = float(slow_process.communicate()[0])
    assert total == pytest.approx(sum(image.double().sum().item() for image in images(files)))
    assert [path.suffix for path in home.iterdir()] == [".npy"]
    assert right(images(files))


def test_a_kill_leaves_nothing_that_is_believed(files, home, slow_process):
    slow_process.kill()
    slow_process.wait()
    (part,) = home.iterdir()
    assert part.suffix == ".part"
    assert right(images(files))

    images(files, channels=1)[0]
    assert part.exists()  # it might be somebody's who is at work
    os.utime(part, (0, time.time() - 2 * cache.DAY))
    images(files, resolution=24)[0]
    assert not part.exists()


def test_images_that_nobody_uses_are_removed_and_other_files_are_not(files, home):
    images(files)[0]
    (used,) = home.iterdir()
    unused, foreign = used.with_name(f"{cache.PREFIX}0.npy"), home / "mine.npy"
    for path in (used, unused, foreign):
        path.touch()
        os.utime(path, (0, time.time() - 100 * cache.DAY))
    images(files)[0]
    images(files, channels=1)[0]
    assert used.exists()
    assert foreign.exists()
    assert not unused.exists()


def fallen_back(files, caplog):
    """Images are right, in memory, and one line says why."""
    assert right(images(files))
    (record,) = caplog.records
    assert re.search(
        r"the cache of decoded images cannot be written \(.+\).*GiB of memory; set RGI_CACHE", record.getMessage()
    )
    return record.getMessage()


def test_a_folder_that_cannot_be_made(files, home, caplog):
    home.write_text("a file in its place")
    fallen_back(files, caplog)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(files, home, caplog):
    home.mkdir(mode=0o500)
    fallen_back(files, caplog)


def test_a_disk_without_room(files, home, caplog, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=99))
    assert "No space left" in fallen_back(files, caplog)
    assert not list(home.iterdir())


def test_a_disk_that_fills_up(files, home, caplog, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    fallen_back(files, caplog)
    assert not list(home.iterdir())


def test_a_file_that_is_gone(files, home, monkeypatch):
    found = images(files)
    files[7].rename(files[7].with_suffix(".old"))
    with pytest.raises(InputError, match=rf"{files[7]}: cannot be read any more"):
        found[0]
    files[7].with_suffix(".old").rename(files[7])
    data = files[7].read_bytes()
    files[7].write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=rf"{files[7]}: cannot be read any more"):
        found[0]
    assert not list(home.iterdir())


def test_where_it_is(monkeypatch, home, tmp_path):
    assert cache.cache_folder() == home
    monkeypatch.delenv("RGI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder() == tmp_path / "xdg" / "rgi"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "rgi"


def test_a_user_without_home_gets_a_cache(monkeypatch, tmp_path):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("RGI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "rgi"
