"""Datasets with corrupted test images, and every corruption of conf/corruption on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.composed import composed as compose_task
from helpers.tiny_sets import CELEBA_TEST, write_celeba, write_folder, write_mvtec
from PIL import Image

from rgi.app.grid import CONF
from rgi.app.options import make
from rgi.data.batch import Batch
from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.corruptions.defects import PAINTERS, Defects
from rgi.data.corruptions.fills import CONTENTS, fill
from rgi.data.corruptions.holes import Central, Irregular, RandomPixels
from rgi.data.corruptions.mask_folder import MaskFolder
from rgi.data.corruptions.strokes import strokes
from rgi.data.sets.celeba import CelebA
from rgi.data.sets.folder import Folder
from rgi.data.sets.mvtec_ad import MVTecAD
from rgi.data.sets.textures import Textures
from rgi.errors import InputError

FILES = sorted((CONF / "corruption").rglob("*.yaml"))
CORRUPTIONS = [path.relative_to(CONF / "corruption").with_suffix("").as_posix() for path in FILES]


def write_masks(folder, count=4, size=64):
    """White bars of different heights, on black."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        pixels = np.zeros((size, size), np.uint8)
        pixels[: 8 + 4 * number] = 255
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")
    return folder


def composed(name, masks, *overrides):
    """A corruption as the command line makes it."""
    if "mask_folder" in name:
        overrides = (f"corruption.masks={masks}", "corruption.first=0", "corruption.last=null", *overrides)
    return make(compose_task(f"corruption={name}", *overrides), "corruption")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Faces in ``celeba``, masks in ``masks``."""
    home = tmp_path_factory.mktemp("sets")
    write_celeba(home / "celeba")
    write_masks(home / "masks")
    return home


@pytest.fixture
def faces(home, monkeypatch):
    monkeypatch.setenv("RGI_CACHE", str(home / "cache"))
    return CelebA(str(home / "celeba"), "faces", 64, 3, crop=True, test_images=None)


def same(one: Batch, other: Batch) -> bool:
    pairs = ((one.observed, other.observed), (one.mask, other.mask), (one.clean, other.clean))
    return one.name == other.name and all(a.equal(b) for a, b in pairs)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption(name, faces, home):
    """Truth and mask are right, and depend on the image's name and the seed alone."""
    data = CorruptedSet(faces, composed(name, home / "masks"))
    data.prepare()
    test = data.test()
    batch = Batch.collate([test[index] for index in range(len(test))])
    kinds = data.corruption.kinds
    assert batch.name == test.names == ([f"{kind}/{n}" for kind in kinds for n in CELEBA_TEST] or [*CELEBA_TEST])
    assert batch.category == ["faces"] * len(test)
    assert batch.observed.dtype == batch.mask.dtype == batch.clean.dtype == torch.float32
    assert batch.mask.shape == (len(test), 1, 64, 64)
    assert set(batch.mask.unique().tolist()) == {0, 1}
    outside = (batch.mask == 0).expand_as(batch.clean)
    assert batch.observed[outside].equal(batch.clean[outside])
    assert (batch.observed != batch.clean)[~outside].float().mean() > 0.9
    clean = {name: faces.test()[index].clean for index, name in enumerate(CELEBA_TEST)}
    assert all(image[None].equal(clean[n.split("/")[-1]]) for image, n in zip(batch.clean, batch.name, strict=True))

    fewer = CorruptedSet(CelebA(faces.root, "people", 64, 3, crop=True, test_images=1), data.corruption).test()
    position = batch.name.index(fewer.names[-1])
    assert same(replace(fewer[len(fewer) - 1], category=["faces"]), batch.select([position]))
    assert same(test[len(test) - 1], batch.select([len(test) - 1]))
    again, another = (CorruptedSet(faces, composed(name, home / "masks", f"seed={seed}")).test() for seed in (0, 1))
    assert same(again[0], test[0])
    assert not another[0].observed.equal(test[0].observed)


def test_everything_else_is_the_datasets_own(faces):
    data = CorruptedSet(faces, Central(0.25, 0.5, "dark", 0))
    for name in ("name", "category", "terms", "channels", "resolution"):
        assert getattr(data, name) == getattr(faces, name)
    assert data.train()[3].equal(faces.train()[3])
    assert len(data.validation()) == len(faces.validation()) > 0
    faces.root = "nowhere"
    with pytest.raises(InputError, match=r"dataset\.root=nowhere: no such folder"):
        CorruptedSet(CelebA("nowhere", "faces", 64, 3, True, None), data.corruption).prepare()


CENTRAL = {
    "central": {64: (16, 48), 128: (32, 96)},
    "reference/central": {64: (14, 46), 128: (28, 92)},
    "reference/central_small": {64: (22, 38), 128: (44, 76)},
}


@pytest.mark.parametrize("name", CENTRAL)
@pytest.mark.parametrize("resolution", [64, 128])
def test_central_holes_are_where_they_belong(name, resolution):
    mask = composed(name, None).region("any", resolution)[0, 0]
    first, end = CENTRAL[name][resolution]
    assert mask[first:end, first:end].all()
    assert mask.sum() == (end - first) ** 2


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("reference/random", 8100), ("reference/random_small", 4096), ("reference/irregular", 4096),
     ("reference/irregular_small", 819)],
)  # fmt: skip
def test_published_areas(name, pixels):
    corruption = composed(name, None)
    one, other = (corruption.region(image, 128) for image in "ab")
    assert one.sum() == other.sum() == pixels
    assert one.equal(other) == ("random" in name)  # drawn once for all images
    assert corruption.region("a", 64).sum() == round(pixels / 4)
    assert corruption.fill == "dark"


@pytest.mark.parametrize("fraction", [0.0005, 0.05, 0.25, 0.7, 0.999])
def test_strokes_cover_exactly_the_fraction(fraction):
    rng = np.random.default_rng(0)
    for resolution in (16, 63, 128):
        assert strokes(fraction, resolution, rng).sum() == round(fraction * resolution**2)


def test_strokes_are_strokes():
    """Long edges, many shapes, no place preferred by much: not blobs, not dust, not a bar."""
    drawn = np.stack([strokes(0.25, 64, np.random.default_rng(seed)) for seed in range(60)])
    edges = (drawn[:, 1:] != drawn[:, :-1]).mean()
    assert 0.02 < edges < 0.15  # 0.375 for independent pixels, 0.016 for a block
    places = drawn.reshape(60, 4, 16, 4, 16).mean((0, 2, 4))
    assert 0.1 < places.min() < places.max() < 0.45


def test_random_pixels_are_each_images_own():
    corruption = RandomPixels(0.3, False, "dark", 0)
    one, other = (corruption.region(name, 64) for name in "ab")
    assert (one * other).mean() == pytest.approx(0.09, abs=0.02)


def test_another_fill_leaves_the_hole_as_it_is():
    clean = torch.zeros(1, 1, 32, 32)
    masks = [Irregular(0.2, kind, 0)(clean, "a", None)[1] for kind in CONTENTS if kind != "image"]
    assert all(mask.equal(masks[0]) for mask in masks)


def test_an_image_fills_another(faces):
    observed, mask, clean = (getattr(CorruptedSet(faces, Central(0.25, 0.5, "image", 3)).test()[0], name)
                             for name in ("observed", "mask", "clean"))  # fmt: skip
    others = faces.validation()
    wanted = [fill(clean, mask, "image", None, others[index][None]) for index in range(len(others))]
    assert sum(observed.equal(each) for each in wanted) == 1


def test_an_image_is_not_filled_with_itself(tmp_path, monkeypatch):
    """Though one's own test images may be for validation, too."""
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))
    photos = write_folder(tmp_path)["train"]
    data = CorruptedSet(Folder(str(photos), 16, 1, train=str(photos)), Central(0.25, 0.5, "image", 0))
    data.prepare()
    test = data.test()
    assert len(test) == 20
    for index in range(len(test)):
        batch = test[index]
        assert not batch.observed.equal(fill(batch.clean, batch.mask, "image", None, batch.clean))


def test_only_clean_images_are_taken(tmp_path):
    """Of a set with defects, those with an empty mask; of which nothing is known, none."""
    screws = CorruptedSet(
        MVTecAD(str(write_mvtec(tmp_path)), "screw", 32, 1, download=False), Central(0.25, 0.5, "dark", 0)
    )
    screws.prepare()
    assert screws.test().names == ["good/000"]
    assert screws.test()[0].clean.equal(screws.images.test()[1].observed)
    defects = Defects(["scratch", "large"], [1, 2], 0)
    assert CorruptedSet(screws.images, defects).test().names == ["scratch/000", "large/000"]
    patches = CorruptedSet(Textures("brick", test_images=11), defects).test()
    assert patches.names == ["scratch/000", "scratch/001", "large/000", "large/001"]
    folders = write_folder(tmp_path / "mine")
    mine = CorruptedSet(Folder(str(folders["root"]), 32, 1), Central(0.25, 0.5, "dark", 0))
    with pytest.raises(InputError, match=r"dataset\.category=mine-root: no test image is known to be clean"):
        mine.prepare()


def test_defects(faces):
    """Their kinds are as large and as strong as asked for."""
    test = CorruptedSet(faces, composed("defects", None)).test()
    assert {name.split("/")[0] for name in test.names} == PAINTERS.keys()
    for index in range(len(test)):
        batch = test[index]
        assert 0.005 <= batch.mask.mean() <= 0.06
        assert batch.observed.abs().max() <= 1


def test_two_images_of_one_name_cannot_be_painted(tmp_path):
    folders = write_folder(tmp_path)
    for path in folders["masks"].rglob("*.png"):
        Image.new("L", (40, 40)).save(path)
    for folder in (folders["root"], folders["masks"]):
        (folder / "a.png").rename(folder / "c.png")
    mine = Folder(str(folders["root"]), 32, 1, masks=str(folders["masks"]))
    with pytest.raises(InputError, match="c and sub/c: would both have the name large/c"):
        CorruptedSet(mine, Defects(["large"], [1, 3], 0)).prepare()
    assert len(CorruptedSet(mine, Irregular(0.2, "dark", 0)).test()) == 5


class TestMaskFolder:
    def make(self, folder, **changes):
        return MaskFolder(**{"masks": folder, "first": 0, "last": None, "touched": False, "fill": "dark", "seed": 0}
                          | changes)  # fmt: skip

    def refused(self, words, folder, **changes):
        with pytest.raises(InputError, match=words) as error:
            self.make(folder, **changes).check([f"{number}" for number in range(99)], 32, None)
        assert "\n" not in str(error.value)

    def test_masks_are_resized(self, home):
        mask = self.make(home / "masks", first=1, last=2).region("any", 16)
        assert mask[0, 0, :3].all()
        assert mask.sum() == 3 * 16
        wider = self.make(home / "masks", first=1, last=2, touched=True).region("any", 16)
        assert wider.sum() > mask.sum()
        assert (wider >= mask).all()

    def test_all_files_are_used_and_no_others(self, home):
        used = {self.make(home / "masks", first=1, last=3).file(f"{number}").stem for number in range(99)}
        assert used == {"00001", "00002"}

    def test_what_is_wrong_is_named(self, tmp_path):
        self.refused("corruption.masks=.*nowhere: no such folder", tmp_path / "nowhere")
        self.refused("corruption.masks=.*: holds no images", tmp_path)
        write_masks(tmp_path)
        self.make(tmp_path).check(["a"], 32, None)
        self.refused("holds 4 masks, .* ask for 5000", tmp_path, first=4000, last=5000)
        file = tmp_path / "00002.png"
        content = file.read_bytes()
        file.write_bytes(content[:-30])
        self.refused("00002.png: cannot be decoded", tmp_path)
        file.write_text("no picture")
        self.refused("00002.png: is not recognised as an image", tmp_path)
        for grey, much in ((0, "no"), (255, "every")):
            Image.new("L", (64, 64), grey).save(file)
            self.refused(f"00002.png: covers {much} pixel of 32x32", tmp_path)
        Image.new("L", (64, 64), 1).save(file)
        self.refused("00002.png: has no value above 127", tmp_path)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("central", "fraction=0"), ("central", "fraction=abc"), ("central", "centre=0.1"), ("central", "fill=paint"),
        ("central", "seed=-1"), ("random", "shared=no"), ("random", "fraction=1"), ("irregular", "fraction=1.5"),
        ("mask_folder", "first=-1"), ("mask_folder", "last=0"), ("mask_folder", "touched=2"), ("defects", "kinds=[]"),
        ("defects", "kinds=crack"), ("defects", "kinds=[dent]"), ("defects", "contrast=2"),
        ("defects", "kinds=[crack,crack]"), ("defects", "contrast=[1,2,3]"),
        ("irregular", "fraction=true"), ("central", "seed=4294967296"),
        ("defects", "contrast=[3,1]"),
    ],
)  # fmt: skip
def test_impossible_options(name, option):
    with pytest.raises(InputError, match=rf"corruption\.{option.partition('=')[0]}="):
        composed(name, "masks", f"corruption.{option}")


def test_a_hole_must_be_one(faces):
    for fraction, much in ((1e-5, "no"), (1 - 1e-5, "every")):
        for hole in (RandomPixels(fraction, False, "dark", 0), Irregular(fraction, "dark", 0)):
            with pytest.raises(InputError, match=rf"corruption\.fraction: covers {much} pixel of 64x64"):
                CorruptedSet(faces, hole).prepare()
