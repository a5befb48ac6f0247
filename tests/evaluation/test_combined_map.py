"""Painted defects weight the residual and the feature maps of a combined map."""

import math
from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_gan import tiny_gan
from sklearn.metrics import roc_auc_score
from torch import Tensor

from rgi.baselines.kept_features import KeptFeatures
from rgi.errors import InputError
from rgi.evaluation.combined_map import (
    FEATURE_PARTS,
    LEAST_ERROR,
    BaselineMap,
    unfitted_baselines,
    weighted_by_painted,
)
from rgi.inversion.maps import CleanStatistics
from rgi.pixels import smooth

SIZE, SIGMA = 16, 1.0
WEIGHTS = [1.0, 2.0, 0.5]


class Seen:
    """A baseline whose map is a channel of the images."""

    def __init__(self, channel: int) -> None:
        self.channel = channel

    def predict(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(scores=images[:, self.channel])


def noise(count: int, channels: int) -> Tensor:
    return torch.rand(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(count))


def statistics(counted: Tensor | None = None) -> CleanStatistics:
    clean, maps = noise(5, 3), [BaselineMap("first", Seen(0)), BaselineMap("second", Seen(1))]
    return CleanStatistics(clean, clean[:, 2], maps, WEIGHTS, counted)


def painted(where: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Images with a defect that these channels show, residuals (the channel 2) and masks."""
    observed, masks = noise(40, 3), torch.zeros(40, SIZE, SIZE)
    masks[:, 4:8, 6:12] = 1
    for channel in where:
        observed[:, channel] += 0.2 * masks
    return observed, observed[:, 2], masks


@pytest.mark.parametrize("features", FEATURE_PARTS)
def test_the_parts_are_on_the_features_that_the_table_names(features):
    baselines = unfitted_baselines(tiny_gan(), features, seed=3)
    assert baselines.keys() == FEATURE_PARTS[features].keys()
    for name, part in FEATURE_PARTS[features].items():
        assert type(baselines[name]) is part.kind
        assert (type(baselines[name].features) is KeptFeatures) == (part.features == "imagenet")
        assert baselines[name].seed == 3


def test_a_generator_without_critic_features_has_the_other_parts():
    gan = tiny_gan("appearance")
    assert list(unfitted_baselines(gan, "imagenet", seed=0)) == ["PaDiM", "PatchCore"]
    with pytest.raises(InputError, match=r"map\.features=critic: the appearance generator has no critic with features"):
        unfitted_baselines(gan, "critic", seed=0)


@pytest.mark.parametrize("where", [(2,), (0, 2), (0,), (1,), (0, 1, 2)])
def test_each_weight_is_divided_by_the_error_on_painted_defects(where):
    clean, (observed, residuals, masks) = statistics(), painted(where)
    weighted, scores = weighted_by_painted(clean, observed, residuals, masks, SIGMA)
    assert list(scores) == ["residual", "first", "second"]
    for channel, (score, before, after) in zip(
        (2, 0, 1), zip(scores.values(), WEIGHTS, weighted.weights, strict=True), strict=True
    ):
        expected = roc_auc_score(masks.flatten(), smooth(observed[:, channel], SIGMA).flatten())
        assert score == pytest.approx(expected, abs=1e-9)
        assert after == pytest.approx(before / (1 - expected))
    assert clean.weights == WEIGHTS


def test_a_map_that_shows_every_painted_pixel_has_a_finite_weight():
    observed, residuals, masks = painted(())
    weighted, scores = weighted_by_painted(statistics(), observed, residuals + 9 * masks, masks, 0)
    assert scores["residual"] == 1
    assert weighted.weights[0] == pytest.approx(1 / LEAST_ERROR)


def test_only_pixels_that_count_weight():
    counted = torch.zeros(1, SIZE, SIZE)
    counted[:, :, :9] = 1
    observed, residuals, masks = painted((0,))
    other = torch.where(counted != 0, residuals, masks)
    found = [weighted_by_painted(statistics(counted), observed, each, masks, 0)[1] for each in (residuals, other)]
    assert found[0] == found[1]
    everywhere = weighted_by_painted(statistics(), observed, other, masks, 0)[1]
    assert everywhere["residual"] > found[0]["residual"] + 0.1


def test_without_a_painted_pixel_the_weights_stay():
    clean, (observed, residuals, masks) = statistics(), painted((0,))
    weighted, scores = weighted_by_painted(clean, observed, residuals, 0 * masks, SIGMA)
    assert weighted.weights == WEIGHTS
    assert all(math.isnan(score) for score in scores.values())


def test_good_weights_find_more_than_equal_ones():
    """Two of three maps are noise."""
    clean, images = statistics(), painted((2,))
    equal = clean.reweighted([1, 1, 1])
    weighted = weighted_by_painted(equal, *images, SIGMA)[0]
    found = [
        roc_auc_score(images[2].flatten(), each.combined(*images[:2], SIGMA).flatten()) for each in (weighted, equal)
    ]
    assert found[0] > found[1]
