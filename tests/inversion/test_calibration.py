"""The automatic penalty from residuals of clean images."""

import dataclasses
import math

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion.calibration import clean_residuals
from rgi.inversion.problem import latent_weight


def test_automatic_penalty_comes_from_clean_residuals():
    gan = tiny_gan()
    torch.manual_seed(0)
    clean = gan.generator(torch.randn(4, gan.card.latent_dim)) + 0.05 * torch.randn(4, 1, 32, 32)
    with pytest.raises(ValueError, match="task=calibrate"):
        invert(gan, clean, SolverConfig(mask_penalty="auto"))
    residuals = clean_residuals(gan, clean, SolverConfig(iterations=60))
    levels = [residuals[key] for key in sorted(residuals, key=float)]
    assert levels == sorted(levels)
    gan.card = dataclasses.replace(gan.card, residuals=residuals)
    for level in (0.9, 0.5):
        by_hand = SolverConfig(mask_penalty=2 * residuals[str(level)] ** 2, iterations=5)
        automatic = invert(gan, clean, by_hand.replace(mask_penalty="auto", clean_quantile=level))
        assert automatic.objective.equal(invert(gan, clean, by_hand).objective)
    with pytest.raises(ValueError, match=r"solver.clean_quantile=0.7: .* holds 0.5, 0.9"):
        invert(gan, clean, SolverConfig(mask_penalty="auto", clean_quantile=0.7))


@pytest.mark.parametrize(
    ("data_term", "weight"), [("l2", 10 * (0.2 / 1.6448536) ** 2), ("l1", 10 * 0.2 / math.log(10) / 2)]
)
def test_automatic_weight_of_the_prior_comes_from_clean_residuals(data_term, weight):
    """Ten times σ² of normal residuals, and ten times b/2 of Laplacian ones, with the card's 0.9 quantile."""
    gan = tiny_gan()
    automatic = SolverConfig(data_term=data_term, mask="none", latent_weight="auto", iterations=3)
    with pytest.raises(ValueError, match=r"solver.latent_weight=auto: .*task=calibrate"):
        latent_weight(automatic, gan)
    gan.card = dataclasses.replace(gan.card, residuals={"0.99": 0.3})
    with pytest.raises(ValueError, match=r"solver.latent_weight=auto: .* no residual at 0.9"):
        latent_weight(automatic, gan)
    gan.card = dataclasses.replace(gan.card, residuals={"0.9": 0.2})
    assert latent_weight(automatic, gan) == pytest.approx(weight)
    images = torch.randn(2, 1, 32, 32) / 3
    by_hand = automatic.replace(latent_weight=latent_weight(automatic, gan))
    assert invert(gan, images, automatic).objective.equal(invert(gan, images, by_hand).objective)
