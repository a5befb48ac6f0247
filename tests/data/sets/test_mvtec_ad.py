import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.serving import serving
from helpers.set_checks import refused
from PIL import Image

from rgi.data.batch import Batch
from rgi.data.sets import mvtec_ad
from rgi.data.sets.mvtec_ad import CATEGORIES, MVTecAD

SHARED = Path(__file__).parents[3] / "../shared/data/mvtec_ad"


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def build(root, category="screw"):
    """The original layout with 20 training images, 2 good ones and 2 + 1 defects."""
    rng = np.random.default_rng(0)
    home = root / category
    names = [f"train/good/{number:03d}" for number in range(20)]
    names += ["test/good/000", "test/good/001", "test/scratch/000", "test/scratch/001", "test/bent/000"]
    for name in names:
        save(home / f"{name}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    for number, name in enumerate(("scratch/000", "scratch/001", "bent/000")):
        mask = np.zeros((32, 32), np.uint8)
        mask[:, : 8 * (number + 1)] = 255
        save(home / f"ground_truth/{name}_mask.png", mask)
    return root


def images(root, **changes):
    return MVTecAD(
        **{"root": str(root), "category": "screw", "resolution": 16, "channels": 1, "download": False} | changes
    )


def test_layout(tmp_path):
    screws = images(build(tmp_path))
    screws.prepare()
    test = screws.test()
    batch = Batch.collate([test[index] for index in range(len(test))])
    assert batch.name == ["bent/000", "good/000", "good/001", "scratch/000", "scratch/001"]
    assert batch.category == ["screw"] * 5
    assert batch.observed.shape == (5, 1, 16, 16)
    assert batch.mask.shape == (5, 1, 16, 16)
    assert batch.mask.mean((1, 2, 3)).tolist() == [0.75, 0, 0, 0.25, 0.5]
    assert (len(screws.train()), len(screws.validation())) == (18, 2)
    assert screws.train()[0].shape == (1, 16, 16)
    assert not set(screws.train().files) & set(screws.validation().files)


def test_the_fifteen_categories():
    assert len(set(CATEGORIES)) == 15
    assert list(CATEGORIES) == sorted(CATEGORIES)


def test_missing_root(tmp_path):
    given = f"{tmp_path}/./nowhere/"
    refused(images(given), f"dataset.root={given}: no such folder", mvtec_ad.PAGE, "dataset.download=true")


def test_missing_category(tmp_path):
    build(build(tmp_path), "bottle")
    refused(images(tmp_path, category="scrw"), "dataset.category=scrw", "has: bottle, screw;", "zipper")


@pytest.mark.parametrize("part", ["train", "test", "ground_truth"])
def test_incomplete_category(tmp_path, part):
    (build(tmp_path) / "screw" / part).rename(tmp_path / "elsewhere")
    refused(images(tmp_path), str(tmp_path / "screw" / part), "no such folder")


def test_defect_without_mask(tmp_path):
    mask = build(tmp_path) / "screw/ground_truth/bent/000_mask.png"
    mask.rename(mask.with_name("002_mask.png"))
    refused(images(tmp_path), str(tmp_path / "screw/test/bent/000.png"), "has no mask")


def test_mask_without_image(tmp_path):
    (build(tmp_path) / "screw/test/bent/000.png").unlink()
    refused(images(tmp_path), str(tmp_path / "screw/ground_truth/bent/000_mask.png"), "mask without image")


@pytest.mark.parametrize("place", ["train/good/013.png", "test/good/001.png", "ground_truth/scratch/001_mask.png"])
def test_every_file_is_decoded(tmp_path, place):
    path = build(tmp_path) / "screw" / place
    path.write_text("not a picture")
    refused(images(tmp_path), str(path), "not recognised as an image")


def test_download_when_asked(tmp_path, monkeypatch):
    source = build(tmp_path / "source")
    archive = tmp_path / "archive.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        file.add(source / "screw", "screw")
    own = hashlib.sha256(archive.read_bytes()).hexdigest()
    root = tmp_path / "data/mvtec_ad"

    refused(images(root), "no such folder")
    refused(images(root, category="scrw", download=True), "no such folder")
    assert not root.exists()
    with serving(tmp_path, monkeypatch) as address:
        monkeypatch.setattr(MVTecAD, "archive", f"{address}/archive.tar.xz")
        refused(images(root, download=True), "is incomplete or changed", f"expected {mvtec_ad.SHA256}")
        images(root, download=True, sha256=own.upper()).prepare()
        assert len(images(root).test()) == 5

        archive.unlink()
        images(root, download=True).prepare()  # what is there is not fetched again
        refused(images(root, category="bottle", download=True), MVTecAD.archive, mvtec_ad.PAGE)


def test_the_real_screws():
    if not SHARED.is_dir():
        pytest.skip("the MVTec AD images are not on this machine")
    screws = images(SHARED, resolution=64)
    screws.prepare()
    assert len(screws.train()) + len(screws.validation()) == 320
    assert len(screws.validation()) == 32
    test = screws.test()
    batch = Batch.collate([test[index] for index in range(len(test))])
    good = torch.tensor([name.startswith("good/") for name in batch.name])
    assert (len(batch), int(good.sum())) == (160, 41)
    assert set(batch.mask.unique().tolist()) == {0.0, 1.0}
    assert batch.mask[good].sum() == 0
    assert (batch.mask[~good].sum((1, 2, 3)) > 0).all()
    assert batch.observed.abs().max() <= 1
