"""Distances to training images against brute force, and the detection of copies."""

import math

import numpy as np
import pytest
import torch
from helpers.sample_sets import images, noisy
from scipy.spatial.distance import cdist

from rgi.errors import InputError
from rgi.metrics.generative.memorisation import memorisation, nearest_training

OK = torch.zeros(8, 1, 32, 32)
NAN = torch.full((8, 1, 32, 32), torch.nan)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_nearest_training_equals_brute_force(chunk):
    clean, training = images(20, 16, channels=3), images(30, 16, seed=1, channels=3)
    rows = [x.flatten(1).double().numpy() for x in (clean, training)]
    expected = cdist(*rows).min(1) / math.sqrt(rows[0].shape[1])
    distances = nearest_training(clean, training, chunk)
    assert distances.shape == (20,)
    assert np.allclose(distances, expected, atol=1e-6)


def test_nearest_training_is_exact_for_near_copies():
    """The rounding error of the matrix product alone would be larger than the smallest of these distances."""
    training, steps = images(40, 64), torch.tensor([0, 1e-5, 1e-4, 1e-3])
    copies = training[:4] + steps[:, None, None, None]
    assert torch.allclose(nearest_training(copies, training), steps, rtol=1e-2, atol=1e-7)


def test_the_error_is_at_most_1e_4_among_many_near_copies():
    random = torch.Generator().manual_seed(1)
    base, spread = images(1, 64), torch.linspace(1e-5, 1e-3, 200)[:, None, None, None]
    copies = torch.cat([base + spread * torch.randn(200, 1, 64, 64, generator=random), images(20, 64, seed=1)])
    queries = base + torch.randn(30, 1, 64, 64, generator=random) * spread[:30]
    expected = torch.stack([(copies.double() - x.double()).square().mean((1, 2, 3)).sqrt().min() for x in queries])
    assert torch.allclose(nearest_training(queries, copies).double(), expected, rtol=0, atol=1e-4)


def test_memorisation_detects_copies_only():
    training, held_out, samples = images(200, 16), images(400, 16, seed=1), images(400, 16, seed=2)
    honest = memorisation(samples, held_out, training)
    assert honest["copies"] == pytest.approx(0.05, abs=0.03)
    assert honest["sample_distance"] == pytest.approx(honest["held_out_distance"], rel=0.05)
    assert memorisation(held_out, held_out, training)["copies"] == pytest.approx(0.05)
    samples[:120] = noisy(training[:120], 0.02)
    cheating = memorisation(samples, held_out, training)
    assert cheating["copies"] == pytest.approx(0.3 + 0.7 * honest["copies"], abs=0.02)
    assert cheating["held_out_distance"] == honest["held_out_distance"]
    copies = memorisation(training[:50], held_out, training)
    assert (copies["copies"], copies["sample_distance"]) == (1, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nearest_training(OK, OK[..., 1:]), r"training \(8, 1, 32, 31\)"),
        (lambda: memorisation(OK, NAN, OK), "held_out: holds NaN"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
