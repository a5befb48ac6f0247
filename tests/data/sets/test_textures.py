"""The textures: what is trained on is never tested on, and defects are what they claim to be."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from rgi.data.corruptions import defects
from rgi.data.sets.textures import CATEGORIES, RESOLUTION, WINDOW, Textures, corners, cut
from rgi.errors import InputError


def covered(split: str) -> np.ndarray:
    """Pixels of the photograph that any patch of a split touches."""
    touched = np.zeros((512, 512), bool)
    for top, left in corners(split):
        touched[top : top + WINDOW, left : left + WINDOW] = True
    return touched


def test_splits_share_no_pixel():
    train, validation, test = (covered(split) for split in ("train", "validation", "test"))
    assert not (train & test).any()
    assert not (train & validation).any()
    assert not (validation & test).any()
    assert train.mean() > 0.6


def test_test_patches_lie_in_the_test_region():
    """Each patch of the set is found again in the photograph, inside the test region only."""
    dataset = Textures("brick", test_images=10)
    photograph, allowed = dataset.photograph(), covered("test")
    hidden = np.where(allowed, photograph, np.nan)
    for item in dataset.test():
        clean = item.clean[0].numpy()
        assert any(np.array_equal(cut(hidden, corner), clean) for corner in corners("test"))


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_set_is_as_described(category):
    dataset = Textures(category)
    dataset.prepare()
    items = list(dataset.test())
    kinds = [item.name[0].split("/")[0] for item in items]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys([*defects.PAINTERS, "good"], 12)
    assert len({item.name[0] for item in items}) == 60
    for item, kind in zip(items, kinds, strict=True):
        assert item.observed.shape == (1, 1, RESOLUTION, RESOLUTION)
        assert item.observed.abs().max() <= 1
        changed = item.observed != item.clean
        assert not (changed & ~item.mask.bool()).any()  # the mask is exact: nothing outside it is touched
        area = item.mask.mean().item()
        assert area == 0 if kind == "good" else defects.MIN_AREA <= area <= defects.MAX_AREA


def contrast(item) -> float:
    """Distance of the defect's mean from that of its surroundings, in standard deviations of the patch."""
    observed, region = item.observed[0, 0].numpy(), item.mask[0, 0].numpy().astype(bool)
    ring = ndimage.binary_dilation(region, iterations=defects.RING_WIDTH) & ~region
    return abs(observed[region].mean() - observed[ring].mean()) / item.clean.numpy().std()


@pytest.mark.parametrize("category", CATEGORIES)
def test_half_of_the_defects_are_faint(category):
    contrasts = np.array([contrast(item) for item in Textures(category).test() if item.mask.any()])
    assert len(contrasts) == 48
    faint = contrasts <= 1.001
    assert faint.sum() == 24
    assert contrasts.min() > 0.29
    assert contrasts.max() < 3.01


def test_a_patch_depends_on_its_name_and_the_seed_alone():
    many, few = Textures("brick", test_images=60).test(), Textures("brick", test_images=15).test()
    by_name = {item.name[0]: item for item in many}
    for item in few:
        assert item.observed.equal(by_name[item.name[0]].observed)
    other = Textures("brick", test_images=15, seed=1).test()
    assert not any(a.observed.equal(b.observed) for a, b in zip(few, other, strict=True))


def test_training_patches_come_in_both_mirror_images():
    training = Textures("brick").train()
    half = len(training) // 2
    assert training[0].equal(training[half].flip(-1))
    assert training[0].shape == (1, 64, 64)
    assert len(Textures("brick").validation()) > 50


@pytest.mark.parametrize("kind", defects.PAINTERS)
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 64), (1, 128)])
def test_painters_at_other_sizes(kind, channels, size):
    rng = np.random.default_rng(0)
    clean = rng.uniform(-0.5, 0.5, (channels, size, size)).astype(np.float32)
    observed, mask = defects.paint(clean, kind, 2.0, rng)
    assert observed.shape == clean.shape
    assert mask.shape == (1, size, size)
    assert set(np.unique(mask)) == {0, 1}
    assert np.array_equal(observed * (1 - mask), clean * (1 - mask))
    assert (observed != clean)[:, mask[0] > 0].mean() > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"category": "sand"}, "one of brick, grass, gravel"),
        ({"category": "brick", "resolution": 128}, "dataset.resolution=64"),
        ({"category": "brick", "channels": 3}, "dataset.channels=1"),
        ({"category": "brick", "test_images": 0}, "test_images=0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        Textures(**options)


def test_batches_collate():
    from rgi.data.batch import Batch

    items = list(Textures("brick", test_images=5).test())
    batch = Batch.collate(items)
    assert batch.observed.shape == (5, 1, 64, 64)
    assert batch.select([3, 1]).name == [items[3].name[0], items[1].name[0]]
    without = Batch(items[0].observed, None, None, ["x"], ["brick"])
    joined = Batch.collate([items[1], without])
    assert joined.mask is None
    assert joined.to(torch.float64).observed.dtype == torch.float64
