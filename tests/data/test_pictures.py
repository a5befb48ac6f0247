"""Pictures of any size: which files they are, how they are brought to a generator's size, and that they stream."""

from dataclasses import replace
from pathlib import Path
from weakref import WeakSet

import numpy as np
import pytest
import torch
from PIL import Image

from rgi.data import pictures
from rgi.data.images import read_image
from rgi.data.pictures import CleanTiles, Fit, Picture, TileStream, find_pictures, tile_count
from rgi.errors import InputError

TILES, WHOLE, SQUASH = (Fit(kind, channels=1, side=32, patch=32) for kind in ("tiles", "whole", "squash"))


def write(path: Path, width: int = 40, height: int = 40, seed: int = 0) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_file_a_folder_and_a_pattern_name_pictures(tmp_path, monkeypatch):
    for name in ("a.png", "day 1/b.JPG", "day 1/c.bmp", ".hidden/d.png"):
        write(tmp_path / "photos" / name)
    (tmp_path / "photos/notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    assert find_pictures("photos/a.png") == ({"a": Path("photos/a.png")}, Path("photos"))
    assert list(find_pictures("photos")[0]) == ["a", "day 1/b", "day 1/c"]
    assert list(find_pictures("photos/**/*.[jJ]*")[0]) == ["day 1/b"]
    assert list(find_pictures(f"{tmp_path}/photos/*/*")[0]) == ["day 1/b", "day 1/c"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "input=nowhere: no such file or folder; correct the path"),
        ("*.png", r"input=\*\.png: no picture matches .*; name a file, a folder, or a pattern such as"),
        ("clips", "no picture matches"),
        (
            "clips/clip.MP4",
            r"clip\.MP4 is a video; extract its frames with `mkdir frames && ffmpeg -i clips/clip\.MP4 frames/%06d",
        ),
        ("twice", r"b\.png: has the same name as b\.jpg"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "twice/b.jpg")
    write(tmp_path / "twice/b.png")
    (tmp_path / "clips").mkdir()
    if "MP4" in source:
        (tmp_path / "clips/clip.MP4").write_bytes(b"video")
    with pytest.raises(InputError, match=message) as refusal:
        find_pictures(source)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("width", [40, 32, 100])
def test_a_squashed_picture_is_the_image_of_a_dataset(width, tmp_path):
    path = write(tmp_path / "a.png", width)
    picture = Picture("a", path, SQUASH)
    assert len(picture.tiling) == 1
    torch.testing.assert_close(picture.tile(0), read_image(path, 1, 32))
    if width == 40:  # a square
        torch.testing.assert_close(Picture("a", path, WHOLE).tile(0), read_image(path, 1, 32))


@pytest.mark.parametrize(
    ("fit", "size", "resized"),
    [
        (WHOLE, (200, 100), (64, 32)),
        (WHOLE, (20, 33), (32, 53)),
        (TILES, (200, 100), (200, 100)),
        (Fit("tiles", 1, 32, 64), (200, 101), (100, 50)),
    ],
)
def test_the_aspect_is_kept(fit, size, resized, tmp_path):
    path = write(tmp_path / "a.png", *size)
    picture = Picture("a", path, fit)
    assert (picture.tiling.width, picture.tiling.height) == resized == fit.size(*size)
    assert picture.pixels.shape == (1, *size[::-1])
    assert len(picture.tiling) == tile_count(path, fit)


def test_tiles_of_several_pictures_share_a_batch_and_bad_pictures_are_left_out(tmp_path):
    files = {name: write(tmp_path / f"{name}.png", 70, 32, seed) for seed, name in enumerate("abc")}
    files["small"] = write(tmp_path / "small.png", 31, 40)
    files["bad"] = tmp_path / "bad.png"
    files["bad"].write_text("no picture")
    refused = {}
    batches = list(TileStream(files, TILES, 4, refused.__setitem__))
    assert [len(batch.tiles) for batch in batches] == [4, 4, 1]
    assert [picture.name for picture, _ in batches[0].places] == ["a", "a", "a", "b"]
    for batch in batches:
        for tile, (picture, index) in zip(batch.tiles, batch.places, strict=True):
            assert tile.equal(picture.tile(index))
    assert "has 31x40 pixels, and a tile shows 32x32" in refused["small"]
    assert "not recognised as an image" in refused["bad"]


def test_few_pictures_are_in_memory(tmp_path, monkeypatch):
    path, alive, most = write(tmp_path / "a.png", 32, 32), WeakSet(), 0

    class Counted(Picture):
        def __init__(self, *args) -> None:
            super().__init__(*args)
            alive.add(self)

    monkeypatch.setattr(pictures, "Picture", Counted)
    for _ in TileStream({str(number): path for number in range(60)}, TILES, 4, print):
        most = max(most, len(alive))
    assert 4 <= most <= 9  # at most two batches and the next picture


def test_only_a_region_counts(tmp_path):
    path, roi = write(tmp_path / "a.png", 128, 64), tmp_path / "roi.png"
    region = np.zeros((64, 128), np.uint8)
    region[:, :72] = 255
    Image.fromarray(region).save(roi)
    inside = Picture("a", path, replace(TILES, roi=roi)).counted
    assert inside.equal(torch.from_numpy(region > 127))
    assert Picture("a", path, replace(WHOLE, roi=roi)).counted.equal(inside[::2, ::2])
    tiles, every = CleanTiles([path, path], replace(TILES, roi=roi)), Picture("a", path, TILES)
    counted = [number for number in range(len(every.tiling)) if every.tiling.place(number)[1].start + 16 <= 72]
    assert 0 < len(counted) < len(every.tiling)
    assert len(tiles) == 2 * len(counted)
    assert tiles[len(tiles) - 1].equal(every.tile(counted[-1]))
    region[:, 8:] = 0
    Image.fromarray(region).save(tmp_path / "narrow.png")
    assert len(CleanTiles([path], replace(TILES, roi=tmp_path / "narrow.png"))) == len(every.tiling)
    with pytest.raises(InputError, match=r"roi\.png: has 128x64 pixels but .*b\.png has 64x64; save the region in the"):
        Picture("b", write(tmp_path / "b.png", 64, 64), replace(TILES, roi=roi))


def test_clean_tiles_are_the_tiles_of_all_pictures(tmp_path):
    files = [write(tmp_path / f"{seed}.png", 70, 32 + 30 * seed, seed) for seed in range(3)]
    opened = [Picture("", path, TILES) for path in files]
    tiles = [picture.tile(index) for picture in opened for index in range(len(picture.tiling))]
    clean = CleanTiles(files, TILES)
    assert len(clean) == len(tiles)
    assert all(clean[index].equal(tile) for index, tile in enumerate(tiles))
