from pathlib import Path

import pytest
from helpers.set_checks import CLEAN, check_clean_tests, check_common_mistakes, check_red, paint, parts, refused
from helpers.tiny_sets import CELEBA_TEST, write_celeba

from rgi.data.sets import celeba
from rgi.data.sets.celeba import IMAGES, LAST_TRAIN, LAST_VALIDATION, PAGE, CelebA
from rgi.errors import InputError

SHARED = Path(__file__).parents[3] / "../shared/data/celeba/celebA"
FACE = {"left": 25, "top": 57, "right": 153, "bottom": 185}  # of 178x218: 128 pixels around column 89, row 121


def faces(root, **changes):
    return CelebA(str(root), "faces", **CLEAN | {"crop": True} | changes)


@pytest.mark.parametrize("inside", ["", "img_align_celeba"])
def test_layout(tmp_path, inside):
    check_clean_tests(faces(write_celeba(tmp_path) / inside), CELEBA_TEST)


def test_an_incomplete_set_is_split_by_the_last_digit(tmp_path):
    """Which images there are beside it says nothing about an image."""
    train, validation, test = parts(faces(write_celeba(tmp_path)))
    assert (len(train), validation, test) == (20, ["000010", "000020"], ["000009", "000019"])
    for number in (1, 2, 3):
        (tmp_path / f"img_align_celeba/{number:06d}.jpg").unlink()
    assert parts(faces(tmp_path)) == [train[3:], validation, test]


def test_the_complete_set_is_split_as_published(monkeypatch):
    """In 162,770 + 19,867 + 19,962 images, here in hundredths."""
    assert (LAST_TRAIN, LAST_VALIDATION, IMAGES) == (162_770, 162_770 + 19_867, 162_770 + 19_867 + 19_962)
    for name, images in {"LAST_TRAIN": 1627, "LAST_VALIDATION": 1826, "IMAGES": 2025}.items():
        monkeypatch.setattr(celeba, name, images)
    files = [Path(f"{number:06d}.jpg") for number in range(1, 2026)]
    found = faces("unread").parts(files)
    ends = [(part[0].stem, part[-1].stem) for part in (found.train, found.validation, found.test)]
    assert ends == [("000001", "001627"), ("001628", "001826"), ("001827", "002025")]
    assert found.train + found.validation + found.test == files


def test_a_limit_is_spread_evenly(tmp_path):
    for number in range(1, 101):
        paint(tmp_path / f"{number:06d}.png", (89, 109), (0, 0, 89, 109))
    assert faces(tmp_path, test_images=4).test().names == ["000009", "000029", "000059", "000079"]
    assert len(faces(tmp_path, test_images=99).test()) == 10
    assert parts(faces(tmp_path, test_images=4))[:2] == parts(faces(tmp_path))[:2]


@pytest.mark.parametrize("scale", [1, 2])
def test_the_crop_is_the_square_of_128_pixels(tmp_path, scale):
    """At twice the size, twice as large; a pixel more on any side, and something else would be in it."""
    face = tuple(scale * side for side in FACE.values())
    for number in range(1, 21):
        paint(tmp_path / f"{number:06d}.png", (178 * scale, 218 * scale), face)
    found = faces(tmp_path)
    for image in (found.train()[0], found.validation()[0], found.test()[0].clean[0]):
        check_red(image)
    whole = faces(tmp_path, crop=False).test()[0].clean[0]
    assert whole[0, 0, 0] == -1


def test_the_crop_at_half_size():
    """64 pixels around (44.5, 60.5), which begin and end within pixels."""
    assert faces("unread").box(Path("000001.jpg"), (89, 109)) == (12.5, 28.5, 76.5, 92.5)


def test_what_is_wrong_is_named(tmp_path):
    check_common_mistakes(faces, tmp_path, write_celeba, "img_align_celeba/000007.jpg", PAGE)
    folder = tmp_path / "img_align_celeba"
    image = folder / "000007.jpg"
    content = image.read_bytes()
    for odd in ("face", "0000007", "202600", "000000"):
        (folder / f"{odd}.jpg").write_bytes(content)
        refused(faces(tmp_path), str(folder / f"{odd}.jpg"), "is not named", "000001.jpg to 202599.jpg")
        (folder / f"{odd}.jpg").unlink()
    (folder / "000007.png").write_bytes(content)
    refused(faces(tmp_path), str(folder / "000007.png"), "000007.jpg", "rename or remove")
    (folder / "000007.png").unlink()
    paint(image.with_suffix(".png"), (64, 64), (0, 0, 64, 64))
    image.unlink()
    refused(faces(tmp_path), "000007.png", "64x64", "178x218", "dataset.crop=false")
    faces(tmp_path, crop=False).prepare()
    for path in folder.iterdir():
        if path.stem != "000009":
            path.unlink()
    refused(faces(tmp_path), "dataset.root=", "1 images are too few", PAGE)


@pytest.mark.parametrize(("option", "value"), [("crop", "no"), ("test_images", 0), ("test_images", 2.5)])
def test_impossible_options(option, value):
    with pytest.raises(InputError, match=f"dataset.{option}={value}: must be"):
        faces("unread", **{option: value})


def test_the_real_faces():
    if not SHARED.is_dir():
        pytest.skip("the CelebA images are not on this machine")
    found = faces(SHARED, resolution=64, test_images=100)
    assert [len(part) for part in parts(found)] == [8000, 1000, 100]
    test = found.test()
    assert test.names[:2] == ["000009", "000109"]
    assert test[0].clean.shape == (1, 3, 64, 64)
    assert test[0].clean.abs().max() <= 1
