import shutil
from pathlib import Path

import pytest
from helpers.set_checks import CLEAN, check_clean_tests, check_common_mistakes, parts, refused
from helpers.tiny_sets import CLEAN_TEST, write_lsun_bedroom

from rgi.data.sets.lsun_bedroom import PAGE, LSUNBedroom

SHARED = Path(__file__).parents[3] / "../shared/data/bedrooms"


def bedrooms(root, **changes):
    return LSUNBedroom(str(root), "bedrooms", **CLEAN | changes)


def test_layout(tmp_path):
    check_clean_tests(bedrooms(write_lsun_bedroom(tmp_path)), CLEAN_TEST)


def test_parts_depend_on_the_keys_and_not_on_the_folders(tmp_path):
    nested = write_lsun_bedroom(tmp_path / "nested")
    train, validation, test = parts(bedrooms(nested))
    assert (len(train), validation, test) == (20, ["00010", "00020"], ["00009", "00019"])
    (tmp_path / "flat").mkdir()
    for path in nested.rglob("*.webp"):
        shutil.copy(path, tmp_path / "flat")
    assert parts(bedrooms(tmp_path / "flat")) == [train, validation, test]
    assert bedrooms(nested, test_images=1).test().names == ["00009"]


def test_what_is_wrong_is_named(tmp_path):
    check_common_mistakes(bedrooms, tmp_path, write_lsun_bedroom, "0/0/0/0/5/00005.webp", PAGE)
    shutil.copy(tmp_path / "0/0/0/0/5/00005.webp", tmp_path)
    refused(bedrooms(tmp_path), f"{tmp_path}/00005.webp: has the same name as", "0/0/0/0/5/00005.webp")
    shutil.rmtree(tmp_path / "0")
    refused(bedrooms(tmp_path), "dataset.root=", "1 images are too few", PAGE)


@pytest.mark.parametrize("home", ["", "bedroom_train_lmdb"])
def test_the_database_itself(tmp_path, home):
    database = tmp_path / home
    database.mkdir(exist_ok=True)
    (database / "data.mdb").write_bytes(b"")
    refused(bedrooms(tmp_path), f"{database}: is an LMDB database", f"data.py export {database} --out_dir", PAGE)


def test_the_real_bedrooms():
    if not SHARED.is_dir():
        pytest.skip("the bedroom images are not on this machine")
    found = bedrooms(SHARED, resolution=64)
    assert [len(part) for part in parts(found)] == [429, 53, 53]
    assert found.test()[0].clean.shape == (1, 3, 64, 64)
