"""Features of images, batch by batch."""

import pytest
import torch
from helpers.sample_sets import images
from torch import nn

from rgi.errors import InputError
from rgi.metrics.generative.embedding import embed


def test_features_have_no_gradients():
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 5))
    assert not embed(images(20).requires_grad_(), network).requires_grad


def test_a_network_without_flat_output_is_refused():
    with pytest.raises(InputError, match="flatten its output"):
        embed(torch.zeros(8, 1, 32, 32), nn.Identity())
