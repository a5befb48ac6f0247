import hashlib
import zipfile

import pytest
from helpers.serving import serving
from helpers.set_checks import refused
from helpers.tiny_sets import BTAD_TEST, write_btad

from rgi.data.batch import Batch
from rgi.data.sets.btad import BTAD, FOLDER, PAGE
from rgi.errors import InputError


def product(root, category="03", **options):
    return BTAD(root=str(root), category=category, resolution=16, channels=3, **options)


def test_layout(tmp_path):
    found = product(write_btad(tmp_path))
    found.prepare()
    test = found.test()
    batch = Batch.collate([test[index] for index in range(len(test))])
    assert batch.name == list(BTAD_TEST)
    assert batch.category == ["03"] * 3
    assert batch.observed.shape == (3, 3, 16, 16)
    assert batch.mask.mean((1, 2, 3)).tolist() == [0.25, 0.25, 0]
    assert batch.clean is None


def test_parts_are_disjoint_and_the_same_again(tmp_path):
    write_btad(write_btad(tmp_path), "01")
    found = product(tmp_path, "01")
    train, validation = found.train().files, found.validation().files
    assert (len(train), len(validation)) == (18, 2)
    assert not set(train) & set(validation)
    assert {path.parent for path in (*train, *validation)} == {tmp_path / "01/train/ok"}
    assert product(tmp_path, "01").train().files == train


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_image_and_mask_may_be_of_any_format(tmp_path, suffix):
    for path in [*write_btad(tmp_path).rglob("*.png"), *tmp_path.rglob("*.bmp")]:
        path.rename(path.with_suffix(suffix))
    found = product(tmp_path)
    found.prepare()
    assert found.test().names == list(BTAD_TEST)


def test_what_is_wrong_is_named(tmp_path):
    refused(product(tmp_path / "nowhere"), "dataset.root=", "no such folder", PAGE)
    home = write_btad(tmp_path) / "03"
    refused(product(tmp_path, "04"), "dataset.category=04", "which has: 03;", "BTAD: 01, 02, 03")
    refused(product(tmp_path, 1), "dataset.category=1: not in", "BTAD: 01, 02, 03")  # YAML's 01
    mask = home / "ground_truth/ko/0001.png"
    renamed = mask.rename(mask.with_name("0007.png"))
    refused(product(tmp_path), str(home / "test/ko/0001.bmp"), "has no mask")
    renamed.rename(mask)
    image = home / "test/ko/0001.bmp"
    content = image.read_bytes()
    image.unlink()
    refused(product(tmp_path), str(mask), "mask without image")
    image.write_bytes(content[:-100])
    refused(product(tmp_path), str(image), "the file is damaged")
    image.write_bytes(content)
    for path in (home / "train/ok").iterdir():
        path.unlink()
    refused(product(tmp_path), str(home / "train/ok"), "holds no images")
    (home / "train/ok").rmdir()
    refused(product(tmp_path), str(home / "train/ok"), "no such folder")


def test_the_archive_is_checked_by_the_users_own_sum(tmp_path, monkeypatch):
    source, root = write_btad(tmp_path / "source"), tmp_path / "data"
    with zipfile.ZipFile(tmp_path / "btad.zip", "w") as archive:
        for path in source.rglob("*.*"):
            archive.write(path, f"{FOLDER}/{path.relative_to(source)}")
    own = hashlib.sha256((tmp_path / "btad.zip").read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"dataset\.sha256: not given; a download needs the SHA-256"):
        product(root, download=True)
    with pytest.raises(InputError, match=r"dataset\.sha256=.*: checks a download; add dataset\.download=true"):
        product(root, sha256=own)
    with pytest.raises(InputError, match=r"dataset\.sha256=0: must be 64 hexadecimal digits, or null"):
        product(root, download=True, sha256="0")
    with serving(tmp_path, monkeypatch) as address:
        monkeypatch.setattr(BTAD, "archive", f"{address}/btad.zip")
        refused(product(root, download=True, sha256="0" * 64), f"sha256 {own}, expected {'0' * 64}")
        assert not root.exists()
        product(root, download=True, sha256=own).prepare()
    assert product(root).test().names == list(BTAD_TEST)
