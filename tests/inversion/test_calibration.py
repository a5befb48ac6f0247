"""The automatic penalty from residuals of clean images."""

import dataclasses

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion.calibration import clean_residuals


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
