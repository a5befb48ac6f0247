import numpy as np
import pytest
import torch
from helpers.patterns import clean_images
from scipy.spatial.distance import mahalanobis
from torch.nn.functional import avg_pool2d

from rgi.baselines.padim import PaDiM
from rgi.errors import InputError


def shifts(images):
    """Channels that correlate, and differ much in scale, one map as fine as the image."""
    return [torch.cat([images, 100 * images.roll(1, 3), images.square(), 0.1 * images.roll(5, 2)], 1)]


def halves(images):
    return [avg_pool2d(x, 2) for x in shifts(images)]


def test_the_distance_is_mahalanobis():
    clean, observed = clean_images(70), clean_images(3, seed=1)
    epsilon = 0.05
    found = PaDiM(shifts, regularisation=epsilon).fit(clean).predict(observed).scores.numpy()
    features = shifts(clean.double())[0].numpy()
    test = shifts(observed.double())[0].numpy()
    ridge = epsilon * np.diag(features.var(0, ddof=1).mean((1, 2)))
    for row, column in ((0, 0), (3, 17), (31, 30)):
        here = features[:, :, row, column]
        inverse = np.linalg.inv(np.cov(here.T) + ridge)
        expected = [mahalanobis(e, here.mean(0), inverse) for e in test[:, :, row, column]]
        np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-3)


def test_the_units_of_a_channel_do_not_matter():
    clean, observed = clean_images(), clean_images(3, seed=1)

    def scaled(images):
        return [shifts(images)[0] * torch.tensor([7.0, 0.01, 1.0, 1000.0])[:, None, None]]

    first, second = (PaDiM(features).fit(clean).predict(observed).scores for features in (shifts, scaled))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_clean_images_have_the_distance_that_a_gaussian_has():
    """E d² is the number of dimensions, where ridge and estimation hardly matter."""
    random = torch.Generator().manual_seed(0)
    clean, observed = (torch.randn(400, 4, 4, 4, generator=random) for _ in range(2))
    scores = PaDiM(lambda x: [x], regularisation=1e-4).fit(clean).predict(observed).scores
    assert scores.square().mean().item() == pytest.approx(4, rel=0.05)


def test_coarser_features_are_brought_to_the_images_size():
    scores = PaDiM(halves).fit(clean_images()).predict(clean_images(2, seed=1)).scores
    assert scores.shape == (2, 32, 32)


def test_dimensions_are_drawn_by_the_seed():
    clean = clean_images()
    draws = [PaDiM(shifts, dimensions=2, seed=seed).fit(clean).channels.tolist() for seed in range(8)]
    assert draws[0] == PaDiM(shifts, dimensions=2, seed=0).fit(clean).channels.tolist()
    assert all(len(set(draw)) == 2 for draw in draws)
    assert len(set(map(tuple, draws))) > 1
    assert PaDiM(shifts, dimensions=99).fit(clean).channels.tolist() == [0, 1, 2, 3]


def test_a_channel_that_never_varies_does_no_harm():
    clean = clean_images()

    def constant(images):
        return [torch.cat([images, torch.ones_like(images)], 1)]

    found = PaDiM(constant).fit(clean).predict(clean)
    assert found.scores.isfinite().all()
    with pytest.raises(InputError, match="all the same"):
        PaDiM(constant).fit(clean[:1].repeat(3, 1, 1, 1))
