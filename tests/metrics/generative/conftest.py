"""A fixture for tests of generator metrics."""

import pytest
import torch


@pytest.fixture
def global_rng_unchanged():
    """Check that the test does not change the state of the global random generator."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before)
