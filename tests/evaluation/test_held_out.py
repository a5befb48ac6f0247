"""Test images without labels, and their scores."""

import numpy as np
import pytest
import torch

from rgi.data.corruptions.defects import Defects
from rgi.data.sets.textures import Textures
from rgi.evaluation.held_out import clean_scores, clean_tests, evenly_spaced_part, painted_tests, with_tests
from rgi.evaluation.results import save_result

KINDS = ("crack", "large", "scratch")


@pytest.mark.parametrize("limit", [2, 4, 5])
def test_painted_images_have_all_kinds_on_different_images(limit):
    """And the clean original is a held-out image."""
    images = Textures("brick")
    painted = painted_tests(images, Defects(KINDS, (1, 3), 0), limit)
    names = [name.split("/") for name in painted.names]
    assert len(painted) == limit == len({tuple(name) for name in names})
    assert len({stem for _, stem in names}) == limit
    assert {kind for kind, _ in names} == {*KINDS[:limit]}
    batch, held_out = painted[0], images.validation()
    assert any(batch.clean[0].equal(held_out[i]) for i in range(len(held_out)))
    assert (batch.observed != batch.clean).equal(batch.mask.bool())
    tests = with_tests(images, painted)
    assert (tests.test().names, len(images.test())) == (painted.names, 60)


def test_few_images_appear_with_further_kinds():
    """Three images and two kinds are six pairs, however many are asked for."""
    images = with_tests(Textures("brick"), None)
    three = images.validation()
    images.validation = lambda: [three[i] for i in range(3)]
    painted = painted_tests(images, Defects(KINDS[:2], (1, 3), 0), 100)
    assert sorted(painted.names) == sorted(f"{kind}/{number:03d}" for kind in KINDS[:2] for number in range(3))
    assert {name[:3] for name in evenly_spaced_part(painted, 2).names} == {"cra", "lar"}
    assert clean_tests(images, 2).names == ["000", "001"]


def test_scores_of_clean_images(tmp_path):
    """The gap is a root mean square; a pixel counts as masked if its mean mask over the channels is above a half."""
    for name, shift in {"a": 0.3, "sub/b": -0.1}.items():
        restored = np.zeros((2, 4, 4), np.float32)
        mask = np.zeros((2, 4, 4), np.float32)
        mask[:, 0, 0], mask[0, 1] = 0.7, 0.9
        save_result(tmp_path, name, {"observed": restored + shift, "restored": restored, "mask": mask})
    scores = clean_scores(tmp_path, ["a", "sub/b"])
    assert scores["clean/gap"] == pytest.approx(((0.3**2 + 0.1**2) / 2) ** 0.5)
    assert scores["clean/false_positive_rate"] == 1 / 16
    save_result(tmp_path, "c", {"observed": torch.zeros(1, 2, 2).numpy()})
    assert clean_scores(tmp_path, ["c"]) == {}
