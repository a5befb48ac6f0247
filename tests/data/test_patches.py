"""Patches and regions of interest: trainings see windows of the pictures, tests whole pictures at their own size."""

import numpy as np
import pytest
import torch
from helpers.set_checks import refused
from helpers.tiny_sets import CELEBA_TEST, write_celeba
from PIL import Image

from rgi.data import files
from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.corruptions.holes import Central
from rgi.data.patches import random_patches
from rgi.data.sets.celeba import CelebA
from rgi.data.sets.folder import Folder
from rgi.errors import InputError

WIDTH, HEIGHT, SIDE, COUNT = 60, 44, 16, 20


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "PATCHES", 6 * COUNT)


@pytest.fixture
def home(tmp_path):
    """Twenty clean pictures, two test pictures with masks, and a region whose right half counts."""
    for folder in ("clean", "test", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(COUNT):
        save(tmp_path / f"clean/{number:02d}.png", noise(number))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:5, :7] = 255
    for number, name in enumerate("ab"):
        save(tmp_path / f"test/{name}.png", noise(100 + number))
        save(tmp_path / f"masks/{name}.png", mask if name == "a" else mask.T[:WIDTH, :HEIGHT].T * 0)
    region = np.zeros((HEIGHT, WIDTH), np.uint8)
    region[:, WIDTH // 2 :] = 255
    save(tmp_path / "roi.png", region)
    return tmp_path


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


def save(path, pixels):
    Image.fromarray(pixels).save(path)


def images(home, patch=SIDE, roi=None, resolution=SIDE):
    folders = {"masks": str(home / "masks"), "train": str(home / "clean")}
    return Folder(str(home / "test"), resolution, 1, **folders, patch=patch, roi=None if roi is None else str(roi))


def windows(pixels):
    return {pixels[r : r + SIDE, c : c + SIDE].tobytes() for r in range(HEIGHT - 15) for c in range(WIDTH - 15)}


def test_patches_are_windows_of_the_pictures(home):
    made = images(home)
    made.prepare()
    clean, held_out = made.train(), made.validation()
    assert (len(clean), len(held_out)) == (6 * 18, 6 * 2)
    stored = clean.__getitems__(list(range(len(clean)))).numpy()
    for number, path in enumerate(clean.files):
        found = {patch.tobytes() for patch in stored[6 * number : 6 * number + 6, 0]}
        assert len(found) > 1
        assert found <= windows(np.asarray(Image.open(path)))
    assert torch.equal(images(home).train().__getitems__([5, 60]), torch.from_numpy(stored[[5, 60]]))


def test_test_pictures_keep_their_size(home):
    tests = images(home).test()
    assert not tests.equal_sizes
    batch = tests[0]
    assert torch.equal(((batch.observed[0, 0] + 1) * 127.5).round(), torch.from_numpy(noise(100)).float())
    assert batch.mask.shape == (1, 1, HEIGHT, WIDTH)
    assert batch.mask.sum() == 5 * 7
    assert [bool(tests[index].defective) for index in (0, 1)] == [True, False]


def test_a_box_is_cut_before_the_patches(tmp_path):
    """The face of an aligned picture at half size has 64 pixels."""
    made = CelebA(str(write_celeba(tmp_path)), "faces", SIDE, 3, True, None, patch=SIDE)
    made.prepare()
    batch = made.test()[0]
    assert batch.observed.shape == (1, 3, 65, 65)  # the box cuts pixels
    assert batch.name == [CELEBA_TEST[0]]
    assert torch.equal(batch.observed, batch.clean)


def test_a_corruption_damages_one_patch_of_each_clean_picture(home):
    corrupted = CorruptedSet(images(home), Central(0.25, 0.5, "constant", 0))
    corrupted.prepare()
    tests = corrupted.test()
    assert tests.names == ["b"]
    assert tests.equal_sizes
    batch = tests[0]
    assert batch.mask.shape == (1, 1, SIDE, SIDE)
    clean = ((batch.clean[0, 0] + 1) * 127.5).round().numpy().astype(np.uint8)
    assert clean.tobytes() in windows(noise(101))
    assert torch.equal(batch.observed[batch.mask == 0], batch.clean[batch.mask == 0])
    assert torch.equal(tests[0].clean, batch.clean)


def test_patches_lie_in_the_region_that_counts(home):
    picture, rng = np.arange(30 * 40).reshape(1, 30, 40), np.random.default_rng(0)
    counted = np.zeros((30, 40), bool)
    counted[:, 30:] = True
    columns = random_patches(picture, 10, 200, rng, counted)[:, 0, 0, 0] % 40
    assert columns.min() >= 25  # at least half of a patch counts
    assert {25, 30} <= set(columns.tolist())
    one = np.zeros((30, 40), bool)
    one[3, 3] = True  # no patch has more
    assert (random_patches(picture, 10, 50, rng, one)[:, 0] == 3 * 40 + 3).any((1, 2)).all()
    made = images(home, roi=home / "roi.png")
    made.prepare()
    assert not torch.equal(made.train().__getitems__([0]), images(home).train().__getitems__([0]))


@pytest.mark.parametrize("patch", [SIDE, None])
def test_only_defects_in_the_region_make_an_image_defective(home, patch):
    made = images(home, patch, home / "roi.png")
    made.prepare()
    batch = made.test()[0]
    assert batch.mask.any()
    assert not batch.defective.any()
    assert batch.counted.shape == batch.mask.shape
    assert batch.counted.mean() == 0.5
    assert f"dataset.roi={home / 'roi.png'}: nothing outside" in made.note
    assert ("dataset.patch=16" in made.note) == bool(patch)
    assert (made.counted is None) == bool(patch)


def test_wrong_sizes(home):
    with pytest.raises(InputError, match=r"dataset\.patch=16: is the side .* dataset\.resolution=32"):
        images(home, resolution=32)
    refused(images(home, 48, resolution=48), "has only 60x44 pixels, less than a patch of 48x48", "dataset.patch")
    save(home / "roi.png", np.full((HEIGHT, HEIGHT), 255, np.uint8))
    refused(images(home, roi=home / "roi.png"), "dataset.roi=", "has 44x44 pixels but", "has 60x44")
    save(home / "roi.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    refused(images(home, roi=home / "roi.png"), "dataset.roi=", "is black")
    refused(images(home, roi=home / "none.png"), "dataset.roi=", "no such file")
