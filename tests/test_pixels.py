"""Weighted sums over channels and Gaussian smoothing."""

import pytest
import torch
from scipy import ndimage

from rgi.pixels import luminance, smooth


def test_three_channels_have_luminance_weights():
    values = torch.tensor([1.0, -2.0, 4.0]).view(1, 3, 1, 1)
    assert luminance(values).item() == pytest.approx(0.2989 * 1 + 0.5870 * 2 + 0.1140 * 4)
    assert luminance(values[:, :1]).item() == 1
    assert luminance(values[:, :2]).item() == 3


def test_smoothing_equals_scipy_for_each_image():
    maps = torch.rand(3, 16, 16)
    assert smooth(maps, 0) is maps
    for one, expected in zip(smooth(maps, 1.5), maps, strict=True):
        torch.testing.assert_close(one, torch.from_numpy(ndimage.gaussian_filter(expected.numpy(), 1.5)))
