"""The linear generator against scikit-learn and known statistics."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from rgi.errors import InputError
from rgi.generators import pca


def images(count=40, channels=3, resolution=6, rank=None):
    generator = torch.Generator().manual_seed(0)
    size = channels * resolution**2
    rank = rank or size
    mix = torch.randn(rank, size, generator=generator) / torch.arange(1, rank + 1)[:, None]
    return (torch.randn(count, rank, generator=generator) @ mix + 0.3).unflatten(1, (channels, resolution, resolution))


def invert(generator, x):
    """The least-squares code of x (N,C,H,W)."""
    target = (x.flatten(1) - generator.mean).T
    return torch.linalg.lstsq(generator.basis.T, target).solution.T


@pytest.mark.parametrize("channels", [1, 3])
def test_least_squares_inversion_equals_scikit_learns_reconstruction(channels):
    x = images(channels=channels)
    gan = pca.fit(x, 7)
    assert (gan.critic, gan.card.family, gan.card.latent_dim) == (None, "pca", 7)
    assert (gan.card.channels, gan.card.resolution) == (channels, 6)
    flat = x.flatten(1).numpy()
    reference = PCA(7, svd_solver="full").fit(flat)
    expected = reference.inverse_transform(reference.transform(flat)).reshape(x.shape)
    restored = gan.generator(invert(gan.generator, x))
    np.testing.assert_allclose(restored.numpy(), expected, atol=1e-4)


def test_images_in_the_span_are_restored_exactly():
    x = images(rank=4)
    generator = pca.fit(x, 4).generator.double()
    outside = generator(2 * torch.randn(3, 4).double())
    for target in (x.double(), outside):
        torch.testing.assert_close(generator(invert(generator, target)), target, rtol=0, atol=1e-5)


def test_samples_have_the_mean_and_covariance_of_the_images():
    x = images()
    generator = pca.fit(x, 39).generator
    torch.testing.assert_close(generator.mean, x.flatten(1).mean(0), rtol=0, atol=1e-5)
    covariance = generator.basis.T @ generator.basis
    torch.testing.assert_close(covariance, torch.cov(x.flatten(1).T), rtol=0, atol=1e-4)
    codes = invert(generator, x)
    torch.testing.assert_close(codes.std(0), torch.ones(39), rtol=0, atol=1e-2)


def test_equal_seeds_give_equal_components():
    x = images(count=600, resolution=16)
    first, second = pca.fit(x, 5, seed=1), pca.fit(x, 5, seed=1)
    assert torch.equal(first.generator.basis, second.generator.basis)
    assert first.card.seed == 1


@pytest.mark.parametrize(("count", "latent_dim"), [(10, 10), (200, 109), (10, 0), (1, 1)])
def test_more_components_than_the_images_span_are_refused(count, latent_dim):
    with pytest.raises(InputError, match=f"latent_dim={latent_dim}"):
        pca.fit(images(count), latent_dim)


@pytest.mark.parametrize("bad", [torch.zeros(5, 3, 4, 6), torch.zeros(5, 16), torch.full((5, 1, 4, 4), float("nan"))])
def test_images_that_cannot_be_fitted_are_refused(bad):
    with pytest.raises(InputError, match="square and finite"):
        pca.fit(bad, 2)
