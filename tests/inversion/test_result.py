"""Anomaly maps of a result."""

import pytest
import torch
from helpers.inversion_cases import corrupted
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert


def test_maps_of_mask_and_residual():
    gan = tiny_gan("progressive", channels=3)
    observed, _, _ = corrupted(gan, 2)
    result = invert(gan, observed, SolverConfig(iterations=40, mask_penalty=0.05))
    weights = torch.tensor([0.2989, 0.5870, 0.1140]).view(1, 3, 1, 1)
    torch.testing.assert_close(result.anomaly_map(), (result.mask.abs() * weights).sum(1))
    residual = ((result.observed - result.restored).abs() * weights).sum(1)
    torch.testing.assert_close(result.anomaly_map("residual"), residual)
    smooth = result.anomaly_map("residual", sigma=1.5)
    assert smooth.amax() < residual.amax()
    torch.testing.assert_close(smooth.mean(), residual.mean(), rtol=0.02, atol=0)
    assert (result.anomaly_map() >= 0).all()
    plain = invert(gan, observed, SolverConfig(iterations=2, mask="none"))
    assert plain.anomaly_map().equal(plain.anomaly_map("residual"))
    with pytest.raises(ValueError, match="kind"):
        result.anomaly_map("nonsense")
