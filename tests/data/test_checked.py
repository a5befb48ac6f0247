"""Files that were checked are not decoded again for a check, unless something has changed."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from rgi.data import checked, clean_images
from rgi.data.cache import file_hash
from rgi.data.checked import CheckedFiles
from rgi.data.sets.folder import Folder
from rgi.errors import InputError

COUNT = 20


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache; and files count as settled at once."""
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checked, "SETTLED", -60)
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path):
    return [picture(tmp_path / "images" / f"{number:02d}.png", number) for number in range(COUNT)]


def picture(path, seed):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded for a check from now on, by name."""
    names, check = [], checked.check_image

    def count(path):
        names.append(path.name)
        return check(path)

    monkeypatch.setattr(checked, "check_image", count)
    return names


def check(files):
    return CheckedFiles("set").images(files, "checking")


def test_the_second_run_decodes_nothing(files, decoded):
    first = check(files)
    assert first[3] == ((30, 20), False, file_hash(files[3]))
    assert sorted(decoded) == [path.name for path in files]
    assert check(files) == first
    assert len(decoded) == COUNT
    assert CheckedFiles("set").known(files[3]) == first[3]
    assert CheckedFiles("another set").known(files[3]) is None


def test_a_changed_file_is_checked_again(files, decoded):
    check(files)
    decoded.clear()
    content, stat = files[0].read_bytes(), files[0].stat()
    files[0].write_bytes(content[:-40] + bytes(40))
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # of the same size and modification time
    os.replace(picture(files[1].with_name("new.png"), 77), files[1])
    with pytest.raises(InputError, match=r"00\.png: .*damaged"):
        check(files)
    files[0].write_bytes(content)
    decoded.clear()
    check(files)
    assert "00.png" in decoded
    assert set(decoded) <= {"00.png", "01.png"}


def test_a_file_that_has_just_changed_is_not_trusted(files, decoded, monkeypatch):
    monkeypatch.setattr(checked, "SETTLED", 60)
    check(files)
    check(files)
    assert len(decoded) == 2 * COUNT


def test_an_error_does_not_lose_what_was_checked_before(files, decoded):
    files[-1].write_bytes(b"no image")
    with pytest.raises(InputError, match="not recognised as an image"):
        check(files)
    decoded.clear()
    picture(files[-1], 5)
    check(files)
    assert decoded == [files[-1].name]


def test_torn_and_spoilt_lines_are_checked_again(files, home, decoded):
    first = check(files)
    record = next(home.iterdir())
    lines = record.read_bytes().splitlines()
    lines[2] = lines[2].replace(b"false", b"true ")
    record.write_bytes(b"\n".join([*lines[:-1], lines[-1][:50]]))  # the end of a killed write
    decoded.clear()
    assert check(files) == first
    assert len(decoded) == 2
    assert check(files) == first  # the new lines are whole
    assert len(decoded) == 2


def test_two_processes_write_one_record(files, decoded):
    one, other = CheckedFiles("set"), CheckedFiles("set")
    one.images(files[:8], "")
    other.images(files[4:], "")
    one.images(files[:8], "")
    decoded.clear()
    check(files)
    assert decoded == []


def test_without_a_cache_the_files_are_checked_all_the_same(files, home, caplog):
    home.write_text("a file in the place of the folder")
    assert check(files) == check(files)
    assert "the next run will check all images again" in caplog.text


def test_test_images_do_not_wait_for_the_clean_images(files, tmp_path, decoded, monkeypatch):
    """Of many clean images, those that are used are checked and decoded, and no others."""
    monkeypatch.setattr(clean_images, "FEW_FILES", 5)
    test = tmp_path / "test"
    for number in range(4):
        picture(test / f"t{number}.png", 50 + number)
    images = Folder(str(test), 16, 3, train=str(tmp_path / "images"), test_images=2)
    images.prepare(training=False)
    assert decoded == ["t0.png", "t2.png"]
    clean = images.train()
    everything = [clean[i] for i in range(len(clean))]
    clean = images.train()
    clean.check_files([1, 7])
    assert decoded[2:] == ["01.png", "07.png"]
    part = clean.choose([7, 1])
    assert len(part) == 2
    assert part[0].equal(everything[7])
    assert part[1].equal(everything[1])
    assert len(part.dataset) == 2


def test_the_times_decide_and_not_the_order(files):
    """A record with old lines of a file believes the last."""
    first = check(files[:1])
    time.sleep(0.02)
    picture(files[0], 99)
    second = check(files[:1])
    assert second != first
    assert check(files[:1]) == second
