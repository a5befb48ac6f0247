"""Listing of images: links, closed folders, names that results cannot have."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rgi.data.listing import READ_FILES, files_fingerprint, folder_name, images_by_stem
from rgi.errors import InputError


def write(folder: Path, count: int) -> list[Path]:
    """Small pictures."""
    paths = [folder / f"{number:02d}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(np.zeros((24, 24), np.uint8)).save(path)
    return paths


def test_links_are_followed_and_no_folder_is_entered_twice(tmp_path, caplog):
    for folder in ("photos/day1", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder, 2)
    photos = tmp_path / "photos"
    (photos / "day2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (photos / "day1/back").symlink_to(photos, target_is_directory=True)
    (photos / "notes.txt").write_text("no image")
    (photos / ".hidden").mkdir()
    with caplog.at_level("INFO"):
        assert list(images_by_stem(photos, "here")) == ["day1/00", "day1/01", "day2/00", "day2/01"]
    assert f"{photos / 'day1/back'}: is the same folder as {photos} and is left out" in caplog.messages
    assert "here: 4 images; 1 files of other kinds are left out" in caplog.messages


def test_a_closed_folder_is_an_error(tmp_path, monkeypatch):
    """The tests may run as root, which may list everything."""
    (tmp_path / "closed").mkdir()
    write(tmp_path, 2)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"closed: cannot be listed \(Permission denied\); allow it"):
        images_by_stem(tmp_path, "here")


@pytest.mark.parametrize(
    ("name", "message"),
    [(b"caf\xe9.png", r"caf\\xe9\.png: has a name that is no UTF-8"), (b"x" * 230 + b".png", "a name of 234 bytes")],
)
def test_names_that_results_cannot_have_are_refused(name, message, tmp_path):
    (path,) = write(tmp_path, 1)
    os.replace(path, os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(InputError, match=message):
        images_by_stem(tmp_path, "here")


def test_a_folder_with_a_generic_name_is_named_with_its_parent():
    assert folder_name("photos/test") == folder_name("photos/test/") == "photos-test"
    assert folder_name("/test") == "test"
    assert folder_name("photos/cats") == "cats"


def test_a_fingerprint_is_that_of_the_files_and_not_of_their_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, copy = write(tmp_path / "one", 3), write(tmp_path / "two", 3)
    os.utime(copy[0], (0, 0))
    found = files_fingerprint(first)
    assert found == files_fingerprint(copy) != ""
    assert files_fingerprint([]) == ""
    assert files_fingerprint(first[:2]) != found
    assert files_fingerprint(first[::-1]) != found  # as other names would
    content = copy[1].read_bytes()
    copy[1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    assert files_fingerprint(copy) != found
    many = first * READ_FILES
    assert files_fingerprint(many) != files_fingerprint(many[:-1])


def test_a_link_to_nothing_is_named(tmp_path):
    write(tmp_path, 2)
    (tmp_path / "lost.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"lost\.png: is a link to nothing, or no file; repair or remove it"):
        images_by_stem(tmp_path, "here")


@pytest.mark.parametrize("folder", ["00.png", "00.npz"])
def test_results_of_an_image_and_of_a_folder_cannot_have_one_place(folder, tmp_path):
    (image,) = write(tmp_path, 1)
    image.rename(image.with_suffix(".jpg"))
    (tmp_path / folder).mkdir()
    write(tmp_path / folder, 1)
    with pytest.raises(InputError, match=rf"00\.jpg: its results would have the name of the folder {folder}; rename"):
        images_by_stem(tmp_path, "here")
