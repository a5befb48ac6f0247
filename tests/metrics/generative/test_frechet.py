"""FID and KID against their formulas."""

import numpy as np
import pytest
import torch
from helpers.sample_sets import images
from scipy.linalg import sqrtm
from torch import nn

from rgi.errors import InputError
from rgi.metrics.generative.frechet import frechet_and_kernel
from rgi.metrics.generative.random_features import RandomFeatures

OK = torch.zeros(8, 1, 32, 32)
NAN = torch.full((8, 1, 32, 32), torch.nan)


def gaussian(mean, covariance, count, seed):
    """Rows with exactly this mean and (sample) covariance, as images of one pixel per feature."""
    rows = np.random.default_rng(seed).normal(size=(count, len(mean)))
    rows -= rows.mean(0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return torch.from_numpy(white @ np.linalg.cholesky(covariance).T + mean).float()[:, :, None, None]


def test_fid_and_kid_equal_their_formulas(global_rng_unchanged):
    half = np.random.default_rng(0).normal(size=(2, 4, 4))
    covariances = [x @ x.T + np.eye(4) for x in half]
    means = np.array([[0.0, 1, 2, 3], [1, 1, 0, 5]])
    sets = [gaussian(*moments, 300, seed) for seed, moments in enumerate(zip(means, covariances, strict=True))]
    scores = frechet_and_kernel(*sets, nn.Flatten(), subsets=2)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert scores["fid"] == pytest.approx(expected, rel=1e-4)
    real, fake = (x.flatten(1).double().numpy() for x in sets)
    within = [((x @ x.T / 4 + 1) ** 3)[~np.eye(300, dtype=bool)].mean() for x in (real, fake)]
    assert scores["kid"] == pytest.approx(sum(within) - 2 * ((real @ fake.T / 4 + 1) ** 3).mean(), rel=1e-4)


def test_fid_of_equal_sets_is_zero_and_kid_depends_on_the_seed():
    real, fake, network = images(60), images(60, seed=1), RandomFeatures(1)
    assert frechet_and_kernel(real, real, network, subsets=1)["fid"] == pytest.approx(0, abs=1e-3)
    first, again, other = (
        frechet_and_kernel(real, fake, network, seed, subsets=3, subset_size=20) for seed in (0, 0, 1)
    )
    assert first == again
    assert first["kid"] != other["kid"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_and_kernel(OK[:1], OK, nn.Flatten()), "at least 2 rows"),
        (lambda: frechet_and_kernel(OK, NAN, nn.Flatten()), "fake: holds NaN"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
