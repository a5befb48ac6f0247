"""Whatever a folder holds, every image file is read, or one line names what is wrong with it."""

import io
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rgi.data.images import check_image, check_mask, is_grey, read_image, read_mask, upright_size
from rgi.data.listing import SUFFIXES
from rgi.data.sets.folder import Folder
from rgi.errors import InputError

MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "I;16B", "F"]
FORMATS = ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "TGA", "ICO", "JPEG2000", "AVIF", "PCX", "DIB", "SGI"]
SIDES = st.sampled_from([1, 2, 3, 15, 16, 17, 24, 40, 2000])
SIZES = st.tuples(SIDES, SIDES).filter(lambda size: size[0] * size[1] <= 40_000)
pytestmark = [
    pytest.mark.filterwarnings("ignore:Truncated File Read"),
    pytest.mark.filterwarnings("ignore:Palette images with Transparency"),
]


@st.composite
def pictures(draw, sizes=SIZES) -> bytes:
    """An image file of any mode, format, size and orientation, perhaps cut off or with a changed byte."""
    mode, kind, (width, height) = draw(st.sampled_from(MODES)), draw(st.sampled_from(FORMATS)), draw(sizes)
    noise = np.random.default_rng(draw(st.integers(0, 3))).integers(0, 256, (height, width, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = draw(st.integers(0, 9))
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.fromarray(noise).convert(mode)
        except ValueError:  # Pillow converts RGB to some modes in two steps only
            picture = Image.fromarray(noise[..., 0]).convert("I").convert(mode)
        try:
            picture.save(content, kind, exif=exif)
        except (OSError, KeyError, ValueError):  # a mode that the format does not have
            content = io.BytesIO()
            picture.convert("RGB").save(content, "PNG", exif=exif)
    data = content.getvalue()
    damage = draw(st.sampled_from(["none", "none", "cut", "changed", "empty"]))
    place = int(draw(st.floats(0, 1, exclude_max=True)) * len(data))
    if damage == "changed":
        return data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    return {"none": data, "cut": data[:place], "empty": b""}[damage]


def one_line(error: InputError, *culprits: object) -> None:
    """The message is one line that begins with one of the culprits."""
    assert "\n" not in str(error)
    assert str(error).startswith(tuple(map(str, culprits)))


@given(pictures())
def test_an_image_is_read_or_refused(content):
    with TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        path.write_bytes(content)
        try:
            size = check_image(path)
        except InputError as error:
            one_line(error, f"{path}: ")
            return
        assert min(size) >= 16
        assert upright_size(path) == size
        assert is_grey(path) in (True, False)
        for channels in (1, 3):
            image = read_image(path, channels, 16)
            assert image.shape == (channels, 16, 16)
            assert image.abs().max() <= 1


@given(st.one_of(pictures(), pictures(st.just((24, 24)))))
def test_any_image_as_a_mask_is_read_or_refused(content):
    with TemporaryDirectory() as folder:
        path = Path(folder, "mask.png")
        path.write_bytes(content)
        try:
            check_mask(path, (24, 24))
        except InputError as error:
            one_line(error, f"{path}: ")
            return
        mask, marked = read_mask(path, 16)
        assert mask.shape == (1, 16, 16)
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        assert marked or not mask.any()


@given(st.lists(st.integers(0, 255), min_size=1, max_size=4), st.integers(1, 12))
def test_no_mask_is_half_read(values, width):
    """Columns of these grey values: the mask is refused, or each value counts as the file says."""
    columns = np.append(np.repeat(np.array(values, np.uint8), width), np.zeros(16, np.uint8))
    with TemporaryDirectory() as folder:
        path = Path(folder, "mask.png")
        Image.fromarray(np.tile(columns, (24, 1))).save(path)
        try:
            check_mask(path, (len(columns), 24))
        except InputError as error:
            one_line(error, f"{path}: ")
            assert any(0 < value <= 127 for value in values)
            return
        _, marked = read_mask(path, 16)
        assert marked == any(value > 127 for value in values)
        assert not any(8 <= value <= 127 for value in values) or width < 3


NAMES = st.sampled_from(
    ["a", "b", "A", "a.b", "x.png", "x.npz", "ä ö", "%:$", "..a", ".a", "a.", "-", "' \"", "x" * 210, "日本"]
)
ENDINGS = st.sampled_from([".png", ".PNG", ".jpg", ".tif", ".gif", ".txt", "", ".png.png", ".webp", ".npz"])
PATHS = st.lists(NAMES, min_size=1, max_size=3)
KINDS = st.sampled_from(
    ["image", "image", "image", "image", "mask", "bad", "empty", "folder", "link", "loop", "broken"]
)
TREES = st.lists(st.tuples(PATHS, ENDINGS, KINDS), max_size=6)


def content(kind: str) -> bytes:
    """A file of this kind, of 20x20 pixels."""
    pixels = np.zeros((20, 20), np.uint8)
    pixels[: {"mask": 5}.get(kind, 0)] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"empty": b"", "bad": file.getvalue()[:-20]}.get(kind, file.getvalue())


def grow(base: Path, tree: list[tuple[list[str], str, str]]) -> None:
    """Write a tree of files, folders and links; what has no place in it is left out."""
    base.mkdir()
    for parts, ending, kind in tree:
        path = base.joinpath(*parts[:-1], parts[-1] + ending)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() or path.is_symlink():
                continue
            if kind == "folder":
                path.mkdir()
            elif kind in ("link", "loop", "broken"):
                path.symlink_to({"link": base.parent / "picture.png", "loop": base, "broken": "nothing"}[kind])
            else:
                path.write_bytes(content(kind))
        except (FileExistsError, NotADirectoryError):
            continue


def visible_images(base: Path) -> set[Path]:
    """All image files that a user sees below a folder, each once."""
    found, entered = set(), set()
    for folder, folders, names in os.walk(base, followlinks=True):
        if os.path.realpath(folder) in entered:
            folders.clear()
            continue
        entered.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found |= {Path(folder, name) for name in names if not name.startswith(".") and name.lower().endswith(SUFFIXES)}
    return found


@given(TREES, st.none() | TREES, st.none() | TREES)
def test_every_image_of_a_folder_is_counted_or_one_is_named(root, masks, train):
    with TemporaryDirectory() as home:
        base = Path(home)
        (base / "picture.png").write_bytes(content("image"))
        given = {
            option: tree for option, tree in (("root", root), ("masks", masks), ("train", train)) if tree is not None
        }
        for option, tree in given.items():
            grow(base / option, tree)
        images = Folder(resolution=16, channels=1, **{option: str(base / option) for option in given})
        try:
            images.prepare()
        except InputError as error:
            one_line(error, f"{base}/", *(f"dataset.{option}={base / option}: " for option in given))
            return
        test = images.test()
        assert {sample.image for sample in test.samples} == visible_images(base / "root")
        assert set(images.training_files()) == (visible_images(base / "train") if train is not None else set())
        assert {sample.mask for sample in test.samples} - {None} == (
            visible_images(base / "masks") if masks is not None else set()
        )
        assert len(set(test.names)) == len(test) > 0
        for index in range(len(test)):
            assert torch.isfinite(test[index].observed).all()
