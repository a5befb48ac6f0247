"""Kept features: each image is computed once, and no file can change a result."""

import pytest
import torch
from helpers.patterns import clean_images
from torch import nn
from torch.nn.functional import avg_pool2d

from rgi.baselines.kept_features import FOLDER, KeptFeatures
from rgi.baselines.padim import PaDiM
from rgi.baselines.patchcore import PatchCore


class Counted(nn.Module):
    """Two maps, which count the images that were computed."""

    def __init__(self):
        super().__init__()
        self.images = 0

    def forward(self, images):
        self.images += len(images)
        return [avg_pool2d(torch.cat([images, images.roll(3, 2)], 1), 2), avg_pool2d(images, 4) / 3]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("method", [PaDiM, PatchCore])
def test_each_clean_image_is_computed_once_by_all_fits(method):
    network, clean, observed = Counted(), clean_images(40), clean_images(43)[-3:]
    scores = [method(KeptFeatures(network, "counted"), seed=1).fit(clean).predict(observed).scores for _ in range(2)]
    assert network.images == 40 + 2 * 3  # the three are test images, of which nothing is kept
    assert len(list(FOLDER.rglob("*.npz"))) == 40
    assert torch.equal(*scores)
    plain = method(Counted(), seed=1).fit(clean).predict(observed).scores
    torch.testing.assert_close(scores[0], plain, rtol=0.02, atol=0.01)


def test_kept_maps_are_those_of_the_image_whatever_stands_beside_it():
    features, images = KeptFeatures(Counted(), "counted"), clean_images(5)
    first = features.kept(images[:3])
    assert [x.dtype for x in first] == 2 * [torch.float32]
    again = features.kept(images.flip(0))
    for kept, own, computed in zip(first, again, features(images), strict=True):
        assert torch.equal(own.flip(0)[:3], kept)
        torch.testing.assert_close(own.flip(0), computed, rtol=1e-3, atol=1e-3)


def test_an_image_of_another_shape_or_another_network_is_another_image():
    images = clean_images(1)
    features = KeptFeatures(Counted(), "counted")
    features.kept(images)
    features.kept(images.view(1, 1, 16, -1))
    KeptFeatures(features.network, "other").kept(images)
    assert features.network.images == 3


def damaged(content: bytes) -> bytes:
    """The content with a changed value in the middle of the first array."""
    return content[:300] + bytes([content[300] ^ 64]) + content[301:]


@pytest.mark.parametrize("damage", [damaged, lambda content: content[:-200], lambda content: b""])
def test_a_damaged_file_is_written_again(damage):
    features, images = KeptFeatures(Counted(), "counted"), clean_images(2)
    before = features.kept(images)
    file = sorted(FOLDER.rglob("*.npz"))[0]
    content = file.read_bytes()
    file.write_bytes(damage(content))
    for own, kept in zip(features.kept(images), before, strict=True):
        assert torch.equal(own, kept)
    assert file.read_bytes()[300] == content[300]
    assert features.network.images == 3


def test_a_folder_that_cannot_be_written_costs_only_time():
    FOLDER.parent.mkdir()
    FOLDER.write_text("a file where the folder should be")
    features, images = KeptFeatures(Counted(), "counted"), clean_images(2)
    for own, computed in zip(features.kept(images), features(images), strict=True):
        torch.testing.assert_close(own, computed, rtol=1e-3, atol=1e-3)
