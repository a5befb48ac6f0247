import shutil
from pathlib import Path

import pytest
from helpers.set_checks import CLEAN, check_clean_tests, check_common_mistakes, check_red, paint, parts, refused
from helpers.tiny_sets import CLEAN_TEST, write_boxes, write_stanford_cars
from PIL import Image

from rgi.data.sets.stanford_cars import PAGE, StanfordCars, read_boxes

SHARED = Path(__file__).parents[3] / "../shared/data/stanford_cars"
DEVKIT = "devkit/cars_train_annos.mat"


def cars(root, **changes):
    return StanfordCars(str(root), "cars", **CLEAN | changes)


@pytest.mark.parametrize("inside", ["", "cars_train"])
def test_layout(tmp_path, inside):
    check_clean_tests(cars(write_stanford_cars(tmp_path) / inside), CLEAN_TEST)


def test_parts_depend_on_the_names_of_the_training_photographs_alone(tmp_path):
    train, validation, test = parts(cars(write_stanford_cars(tmp_path)))
    assert (len(train), validation, test) == (20, ["00010", "00020"], ["00009", "00019"])
    paint(tmp_path / "cars_test/00001.jpg", (40, 40), (0, 0, 9, 9))
    (tmp_path / DEVKIT).unlink()
    assert parts(cars(tmp_path)) == [train, validation, test]
    assert cars(tmp_path, test_images=1).test().names == ["00009"]


def test_the_crop_is_the_box_of_the_devkit(tmp_path):
    """A pixel more on any side, and something black would be in it."""
    for number in range(1, 25):
        paint(tmp_path / f"cars_train/{number:05d}.png", (80, 60), (10, 20, 50, 45))
    found = cars(tmp_path)
    assert found.test()[0].clean[0, 0, 0, 0] == -1
    write_boxes(tmp_path, {f"{number:05d}.png": (11, 21, 50, 45) for number in range(1, 25)})
    found = cars(tmp_path)
    found.prepare()
    for image in (found.train()[0], found.validation()[0], found.test()[0].clean[0]):
        check_red(image)


def test_a_box_may_reach_a_little_beyond_the_picture(tmp_path):
    write_stanford_cars(tmp_path)
    write_boxes(tmp_path, {"00001.jpg": (0, 1, 41, 42)})
    assert cars(tmp_path).box(tmp_path / "cars_train/00001.jpg", (40, 40)) == (0, 0, 40, 40)


def test_boxes_of_one_photograph(tmp_path):
    assert read_boxes(write_boxes(tmp_path, {"00001.jpg": (300, 1, 1000, 250)})) == {"00001.jpg": (299, 0, 1000, 250)}


def test_some_photographs_may_be_grey(tmp_path):
    path = write_stanford_cars(tmp_path) / "cars_train/00003.jpg"
    Image.open(path).convert("L").save(path)
    cars(tmp_path).prepare()


def test_what_is_wrong_is_named(tmp_path):
    check_common_mistakes(cars, tmp_path, write_stanford_cars, "cars_train/00005.jpg", PAGE)
    copy = tmp_path / "cars_train/more/00005.jpg"
    copy.parent.mkdir()
    shutil.copy(tmp_path / "cars_train/00005.jpg", copy)
    refused(cars(tmp_path), "more/00005.jpg", "has the same name as", "remove or rename")
    copy.rename(copy.with_name("00099.jpg"))
    refused(cars(tmp_path), "00099.jpg", "has no box in", DEVKIT, PAGE)
    for path in tmp_path.glob("cars_train/000[01]*.jpg"):
        path.unlink()
    refused(cars(tmp_path), "dataset.root=", "6 images are too few", PAGE)


@pytest.mark.parametrize("box", [(11, 6, 61, 35), (50, 50, 60, 60), (20, 6, 10, 35), (20, 20, 19, 20)])
def test_boxes_of_other_photographs(tmp_path, box):
    write_stanford_cars(tmp_path)
    write_boxes(tmp_path, {f"{number:05d}.jpg": box for number in range(1, 25)})
    refused(cars(tmp_path), "00001.jpg: has 40x40 pixels", DEVKIT, "original photographs")


def no_matlab(content: bytes) -> dict[str, bytes]:
    changed = bytearray(content)
    changed[200] ^= 255
    return {"text": b"hello, I am a devkit", "empty": b"", "half": content[: len(content) // 2], "bit": bytes(changed)}


@pytest.mark.parametrize("damage", ["text", "empty", "half", "bit"])
def test_a_devkit_that_is_none(tmp_path, damage):
    path = write_stanford_cars(tmp_path) / DEVKIT
    path.write_bytes(no_matlab(path.read_bytes())[damage])
    refused(cars(tmp_path), str(path), "no readable boxes", PAGE)


def test_the_real_cars():
    if not SHARED.is_dir():
        pytest.skip("the Stanford Cars images are not on this machine")
    found = cars(SHARED, resolution=64)
    assert [len(part) for part in parts(found)] == [1200, 150, 150]
    assert found.test()[0].clean.shape == (1, 3, 64, 64)
