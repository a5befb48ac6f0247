import re
from pathlib import Path

import pytest
from helpers.set_checks import refused
from helpers.tiny_sets import TILE_TEST, write_magnetic_tile
from PIL import Image

from rgi.data.sets import magnetic_tile
from rgi.data.sets.magnetic_tile import GAP, PAGE, MagneticTile
from rgi.errors import InputError

SHARED = Path(__file__).parents[3] / "../shared/data/magnetic_tile"


def tiles(root, **changes):
    return MagneticTile(**{"root": str(root), "resolution": 16, "channels": 1, "images_per_kind": None} | changes)


def number(path) -> int:
    return int(re.search(r"num_(\d+)", str(path))[1])


def test_layout(tmp_path):
    found = tiles(write_magnetic_tile(tmp_path))
    found.prepare()
    assert found.test().names == list(TILE_TEST)
    assert (len(found.train()), len(found.validation())) == (18, 2)
    kinds = {name: found.test()[i].mask.sum() > 0 for i, name in enumerate(found.test().names)}
    assert [name for name, marked in kinds.items() if not marked] == ["good/exp2_num_1003"]


def test_photographs_of_one_tile_stay_together(tmp_path):
    """A clean photograph within the gap of a defective one is a test image, one beyond it is not."""
    write_magnetic_tile(tmp_path)
    source = tmp_path / "MT_Free/Imgs/exp2_num_1003.jpg"
    for shift in (GAP, 2 * GAP + 1):  # counted from 1003: the first joins the tile of 1000, the second does not
        for suffix in (".jpg", ".png"):
            copied = source.with_name(f"exp3_num_{1003 + shift}{suffix}")
            copied.write_bytes(source.with_suffix(suffix).read_bytes())
    found = tiles(tmp_path)
    assert f"good/exp3_num_{1003 + GAP}" in found.test().names
    assert f"good/exp3_num_{1003 + 2 * GAP + 1}" not in found.test().names


def test_a_limit_per_kind(tmp_path):
    assert tiles(write_magnetic_tile(tmp_path), images_per_kind=1).test().names == list(TILE_TEST)
    with pytest.raises(InputError, match="images_per_kind=0"):
        tiles(tmp_path, images_per_kind=0)


def test_a_mask_without_anything_above_the_threshold_is_left_out(tmp_path):
    path = write_magnetic_tile(tmp_path) / "MT_Uneven/Imgs/exp1_num_5000.png"
    Image.new("L", (40, 40), 127).save(path)
    assert tiles(tmp_path).test().names == [name for name in TILE_TEST if "5000" not in name]


def test_what_is_wrong_is_named(tmp_path):
    refused(tiles(tmp_path / "nowhere"), "dataset.root=", "no such folder", PAGE)
    root = write_magnetic_tile(tmp_path)
    mask = root / "MT_Crack/Imgs/exp1_num_2000.png"
    content = mask.read_bytes()
    mask.write_text("nothing")
    refused(tiles(root), str(mask), "not recognised as an image")
    mask.unlink()
    refused(tiles(root), "exp1_num_2000.jpg", "has no mask")
    mask.write_bytes(content)
    odd = root / "MT_Free/Imgs/tile.jpg"
    odd.write_bytes((root / "MT_Free/Imgs/exp2_num_1003.jpg").read_bytes())
    refused(tiles(root), str(odd), "is not named")
    odd.unlink()
    for path in (root / "MT_Fray/Imgs").iterdir():
        path.unlink()
    refused(tiles(root), str(root / "MT_Fray/Imgs"), "whole archive")


@pytest.fixture
def published(tmp_path, monkeypatch) -> Path:
    """A published list of 18 of the 20 clean tiles, and a second photograph of one of them that is not listed."""
    root = write_magnetic_tile(tmp_path / "tiles")
    source = root / "MT_Free/Imgs/exp1_num_6000.jpg"
    for suffix in (".jpg", ".png"):
        source.with_name(f"exp2_num_6010{suffix}").write_bytes(source.with_suffix(suffix).read_bytes())
    names = tmp_path / "list.txt"
    names.write_text("\n".join(f"exp1_num_{6000 + 1000 * i}" for i in range(18)))
    monkeypatch.setattr(magnetic_tile, "PUBLISHED", names)
    return root


def test_the_published_split_is_by_photograph_and_says_so(published, caplog):
    found = tiles(published, split="published")
    found.prepare()
    assert (len(found.train()), len(found.validation())) == (17, 1)
    clean = {"good/exp2_num_6010", "good/exp1_num_24000", "good/exp1_num_25000"}
    assert {*found.test().names} == {*TILE_TEST, *clean}
    words = "1 of 4 clean and 0 of 5 defective test photographs show a tile that listed training photographs show"
    assert words in found.note
    assert found.note in caplog.messages
    assert found.category == "tile-published"
    assert tiles(published).category == "tile"
    assert tiles(published).note == ""


def test_a_published_list_that_does_not_fit_is_refused(published):
    (published / "MT_Free/Imgs/exp1_num_9000.jpg").unlink()
    words = "dataset.split=published: 1 of 18 listed photographs are not in", "exp1_num_9000.jpg", "dataset.split=null"
    refused(tiles(published, split="published"), *words)
    with pytest.raises(InputError, match=r"dataset\.split=public: must be published, or null"):
        tiles(published, split="public")


def test_the_real_tiles():
    if not SHARED.is_dir():
        pytest.skip("the magnetic tile images are not on this machine")
    found = tiles(SHARED)
    found.prepare()
    sets = [found.train().files, found.validation().files, [sample.image for sample in found.test().samples]]
    assert [len(files) for files in sets] == [767, 78, 495]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        others = sorted(number(path) for path in sets[second])
        assert all(min(abs(number(path) - other) for other in others) > GAP for path in sets[first])
    assert len(tiles(SHARED, images_per_kind=20).test()) == 5 * 20 + 40
    found = tiles(SHARED, split="published")
    assert [len(part) for part in (found.train(), found.validation(), found.test())] == [686, 75, 579]
    assert "191 of 191 clean" in found.note
