"""All fast generator metrics in one call."""

import numpy as np
import pytest
from helpers.sample_sets import blurred, images
from torch import nn

from rgi.metrics.generative.embedding import embed
from rgi.metrics.generative.kernel_distance import kernel_distance
from rgi.metrics.generative.precision_recall import precision_recall
from rgi.metrics.generative.quality import pretrained_quality, sample_quality
from rgi.metrics.generative.random_features import RandomFeatures
from rgi.metrics.generative.sliced_wasserstein import sliced_wasserstein


@pytest.mark.parametrize("channels", [1, 3])
def test_the_result_holds_all_four_metrics(channels, global_rng_unchanged):
    real, fake = images(40, 64, channels=channels), blurred(images(40, 64, seed=1, channels=channels), 1)
    scores = sample_quality(real, fake, seed=2)
    swd = sliced_wasserstein(real, fake, 2, 32, 128)
    sets = [embed(x, RandomFeatures(channels, 2)) for x in (real, fake)]
    precision, recall = precision_recall(*sets)
    assert scores == {
        **{f"swd_{side}": swd[side] for side in (64, 32, 16)},
        "swd": pytest.approx(np.mean(list(swd.values()))),
        "precision": precision,
        "recall": recall,
        "kernel_distance": kernel_distance(*sets),
    }


def test_another_network_may_compute_the_features():
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 5))
    real = images(20)
    scores = sample_quality(real, real.requires_grad_(), network, descriptors=4, projections=8)
    assert scores["swd"] == 0
    assert scores["precision"] == scores["recall"] == 1


def test_bfloat16_and_float64_images_have_equal_scores():
    real, fake = images(24, 16).bfloat16(), images(24, 16, seed=1).bfloat16()
    assert sample_quality(real, fake) == sample_quality(real.double(), fake.double())


def test_the_quality_in_pretrained_features_is_named_after_the_network():
    """Samples of the same distribution are near, others are far."""
    real, same = images(60, seed=0), images(60, seed=1)
    near, far = (pretrained_quality(real, each, RandomFeatures(real.shape[1]), "net") for each in (same, 0.3 * same))
    assert list(near) == ["net_frechet", "net_kernel_distance", "net_precision", "net_recall"]
    assert near["net_frechet"] < far["net_frechet"]
    assert near["net_kernel_distance"] < far["net_kernel_distance"]
    assert near["net_precision"] > far["net_precision"]
