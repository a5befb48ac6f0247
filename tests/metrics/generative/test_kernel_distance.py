"""Kernel distance against a double loop, and its behaviour for corrupted images."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.sample_sets import blurred, cloud, images, noisy, standardised

from rgi.errors import InputError
from rgi.metrics.generative.embedding import embed
from rgi.metrics.generative.kernel_distance import kernel_distance
from rgi.metrics.generative.precision_recall import precision_recall
from rgi.metrics.generative.random_features import RandomFeatures


def mmd_in_python(a, b):
    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def pairs(rows):
        return np.mean([kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j])

    return pairs(a) + pairs(b) - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_kernel_distance_equals_a_double_loop(monkeypatch):
    real, fake = cloud(30), cloud(25, seed=1, shift=0.3)
    expected = mmd_in_python(*standardised(real, fake))
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-4)
    monkeypatch.setattr("rgi.metrics.generative.kernel_distance.CHUNK", 7)
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-4)
    itself = mmd_in_python(*standardised(real, real))
    assert itself < 0
    assert kernel_distance(real, real) == pytest.approx(itself, rel=1e-4)


def test_kernel_distance_is_unbiased():
    """Rows drawn from the real features have, on average, half the distance of the real features to themselves."""
    real, random = cloud(30), torch.Generator().manual_seed(0)
    distances = [kernel_distance(real, real[torch.randint(30, (10,), generator=random)]) for _ in range(1000)]
    error = np.std(distances) / math.sqrt(len(distances))
    assert np.mean(distances) == pytest.approx(kernel_distance(real, real) / 2, abs=3 * error)
    assert error < 0.02  # a comparison of each row with itself would add about 0.9


def increases(values):
    return all(low < high for low, high in pairwise(values))


@pytest.mark.parametrize(("corrupt", "strengths"), [(noisy, (0, 0.05, 0.1, 0.2, 0.4)), (blurred, (0, 0.5, 1, 2, 4))])
def test_scores_get_worse_with_the_strength_of_a_corruption(corrupt, strengths):
    network = RandomFeatures(1)
    real, fake = images(128), images(128, seed=1)
    reals = embed(real, network)
    fakes = [embed(corrupt(fake, strength), network) for strength in strengths]
    assert increases([kernel_distance(reals, x) for x in fakes])
    scores = torch.tensor([precision_recall(reals, x) for x in fakes])
    assert (scores.diff(dim=0) <= 0).all()
    assert scores[0].min() > 0.7
    assert scores[-1].max() < 0.3


@pytest.mark.parametrize("metric", [precision_recall, kernel_distance])
def test_units_of_features_and_order_of_rows_have_no_effect(metric):
    real, fake = cloud(60), cloud(60, seed=1)
    scale, shift = torch.tensor([1e-3, 1, 1e3, 5, 2, 0.1]), torch.tensor([0, 1, -1e3, 5, 0, 3])
    expected = metric(real, fake)
    assert metric(real * scale + shift, fake * scale + shift) == pytest.approx(expected, rel=1e-3)
    assert metric(real.flip(0), fake.roll(7, 0)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_distance(cloud(9), cloud(9, 5)), r"fake_features \(9, 5\)"),
        (lambda: kernel_distance(cloud(9), cloud(9) / 0), "fake_features: holds NaN or infinities"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
