"""Precision and recall against brute force and sets with known results."""

import math

import numpy as np
import pytest
import torch
from helpers.sample_sets import cloud, standardised

from rgi.errors import InputError
from rgi.metrics.generative.precision_recall import precision_recall


def covered_in_numpy(points, cover, k):
    radius = [sorted(math.dist(a, b) for j, b in enumerate(cover) if i != j)[k - 1] for i, a in enumerate(cover)]
    return np.mean([any(math.dist(x, c) <= r for c, r in zip(cover, radius, strict=True)) for x in points])


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_brute_force(k, monkeypatch):
    real, fake = cloud(50), 0.7 * cloud(40, seed=1) + 0.4
    a, b = standardised(real, fake)
    expected = covered_in_numpy(b, a, k), covered_in_numpy(a, b, k)
    assert 0 < expected[1] < 1
    assert precision_recall(real, fake, k) == expected
    monkeypatch.setattr("rgi.metrics.generative.precision_recall.CHUNK", 7)
    assert precision_recall(real, fake, k) == expected


def test_precision_and_recall_of_equal_and_of_distant_sets():
    real = cloud(40)
    assert precision_recall(real, real.flip(0)) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)


def test_missing_modes_lower_recall_and_additional_modes_lower_precision():
    left, right = cloud(100), cloud(100, seed=1) + 100
    both = torch.cat([left, right])
    assert precision_recall(both, left) == (1, 0.5)
    assert precision_recall(left, both) == (0.5, 1)
    precision, recall = precision_recall(both, both[:1].expand(200, -1))
    assert (precision, recall) == (1, 1 / 200)


def test_a_feature_that_is_constant_among_the_reals_keeps_its_units():
    real, fake = cloud(60), cloud(50, seed=1)
    flat = [torch.cat([x, torch.full((len(x), 1), 3.3)], 1) for x in (real, fake)]
    assert precision_recall(*flat) == precision_recall(real, fake)
    flat[1][:, -1] += 50
    assert precision_recall(*flat) == (0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_recall(cloud(3), cloud(3)), "at least 4 rows"),
        (lambda: precision_recall(cloud(3), cloud(9)), r"real_features \(3, 6\)"),
        (lambda: precision_recall(cloud(9), cloud(9), k=9), "at least 10 rows"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
