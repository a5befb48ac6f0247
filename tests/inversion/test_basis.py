"""The latent basis against a known metric, and its effect on the optimisation."""

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion.basis import metric_basis
from rgi.inversion.weights import SharedWeights


def test_basis_of_a_linear_generator_is_its_singular_directions():
    """J is constant, so the basis must consist of the eigenvectors of JᵀJ."""
    gan = tiny_gan("pca")
    with torch.no_grad():
        directions = torch.linalg.qr(torch.randn(6, 6)).Q
        scales = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1])
        images = torch.linalg.qr(torch.randn(256, 6)).Q.T
        gan.generator.basis.copy_(directions @ (scales[:, None] * images))
    basis = metric_basis(gan, SharedWeights(gan.generator, torch.float64), torch.float64)
    torch.testing.assert_close(basis.T @ basis, torch.eye(6).double())
    overlap = (basis.flip(1).T @ directions.double()).abs()  # eigh sorts in ascending order
    assert overlap.diagonal().min() > 0.95


@pytest.mark.parametrize("family", ["compact", "progressive"])
def test_the_basis_is_computed_once_per_state_of_the_weights(family, monkeypatch):
    gan = tiny_gan(family)
    network, calls = SharedWeights(gan.generator, torch.float32), []
    monkeypatch.setattr(network, "network", lambda z: calls.append(len(z)) or gan.generator(z))
    first = metric_basis(gan, network, torch.float32)
    evaluated = len(calls)
    assert metric_basis(gan, network, torch.float32) is first
    assert len(calls) == evaluated
    with torch.no_grad():
        next(gan.generator.parameters()).mul_(1.5)
    metric_basis(gan, network, torch.float32)
    assert len(calls) == 2 * evaluated


def test_the_basis_gives_lower_objectives_in_the_same_number_of_steps():
    """The generator has directions of very different scales, which are not parallel to the axes."""
    gan = tiny_gan("pca")
    with torch.no_grad():
        directions = torch.linalg.qr(torch.randn(6, 6)).Q
        gan.generator.basis.copy_(directions @ (torch.logspace(0, -2, 6)[:, None] * torch.randn(6, 256)))
    observed = gan.generator(torch.randn(4, 6))
    config = SolverConfig(mask="none", iterations=150, precision="float64", starts=1, pool_size=20)
    rotated, plain = (invert(gan, observed, config.replace(latent_basis=basis)) for basis in ("metric", "standard"))
    assert (rotated.objective < plain.objective).all()


def test_the_optimiser_of_the_paper_ignores_basis_and_starts():
    """The optimiser of the paper has a constant rate or a mask learned by Adam."""
    gan = tiny_gan()
    observed = torch.randn(2, 1, 32, 32)
    for changes in ({"schedule": "constant"}, {"mask": "adam"}):
        config = SolverConfig(iterations=5, pool_size=20, latent_basis="standard", starts=1, **changes)
        plain = invert(gan, observed, config)
        changed = invert(gan, observed, config.replace(latent_basis="metric", starts=4, trial_steps=2))
        assert changed.latent.equal(plain.latent)
