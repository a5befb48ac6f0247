"""AUPRO against a loop over all thresholds, and against values in closed form."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.two_processes import blobs, use_few_octaves
from skimage.measure import label

from rgi.metrics import curves
from rgi.metrics.regions import region_weights
from rgi.metrics.standard import PixelCurve


@pytest.fixture(autouse=True, scope="module")
def _few_octaves():
    with pytest.MonkeyPatch.context() as patch:
        use_few_octaves(patch.setattr)
        yield


def looped_aupro(anomaly_map, mask, limit=0.3):
    """AUPRO by a loop over all thresholds, with 8-connected regions by scikit-image."""
    scores, truth = anomaly_map.numpy(), mask[:, 0].numpy() != 0
    regions = []
    for image in range(len(truth)):
        labels = label(truth[image], connectivity=2)
        regions += [(image, labels == region) for region in range(1, labels.max() + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(scores)[::-1]:
        called = scores >= threshold
        overlap = np.mean([called[image][region].mean() for image, region in regions])
        points.append((called[~truth].mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            return (area + (limit - x0) * (y0 + (y1 - y0) * (limit - x0) / (x1 - x0) / 2)) / limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def exact_aupro(anomaly_map, mask, limit=0.3):
    """AUPRO from levels, without bins."""
    values, level = anomaly_map.flatten().unique(return_inverse=True)
    overlap = level.bincount(region_weights(mask).flatten(), len(values))
    negatives = level[mask.flatten() == 0].bincount(minlength=len(values))
    area, error = curves.aupro(overlap, negatives, torch.ones(len(values), dtype=torch.bool), limit)
    assert error == 0
    return area.item()


def binned_aupro(anomaly_map, mask):
    """AUPRO from bins, and the bound on its error."""
    metric = PixelCurve()
    for part, truth in zip(anomaly_map.split(2), mask.split(2), strict=True):
        metric.update(part, truth)
    result = metric.compute()
    return result["aupro"].item(), result["aupro_error"].item()


def maps(strength=0.5):
    mask = blobs(6, 16, 20)
    random = torch.Generator().manual_seed(7)
    return (strength * mask[:, 0] + 0.5 * torch.randn(6, 16, 20, generator=random)).abs(), mask


@pytest.mark.parametrize(
    "change",
    [lambda x: x, lambda x: x.mul(4).round(), lambda x: (x - 0.7).clamp(min=0), lambda x: (x > 1).float()],
    ids=["distinct", "ties", "mostly zero", "two values"],
)
def test_aupro_equals_a_loop_over_thresholds(change):
    anomaly_map, mask = maps()
    anomaly_map = change(anomaly_map)
    expected = looped_aupro(anomaly_map, mask)
    assert exact_aupro(anomaly_map, mask) == pytest.approx(expected, abs=1e-12)
    binned, error = binned_aupro(anomaly_map, mask)
    assert error < 1e-5
    assert abs(binned - expected) <= error + 1e-12


@pytest.mark.parametrize("limit", [0.05, 1.0])
def test_other_limits(limit):
    assert exact_aupro(*maps(), limit) == pytest.approx(looped_aupro(*maps(), limit), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-13, 1e-12, 1e5])
def test_the_bound_holds_where_the_bins_are_too_coarse(scale, monkeypatch):
    use_few_octaves(monkeypatch.setattr, coarse_bits=3)
    anomaly_map, mask = maps()
    binned, error = binned_aupro(anomaly_map * scale, mask)
    assert error > 1e-3
    assert abs(binned - exact_aupro(anomaly_map, mask)) <= error


def test_only_the_order_of_the_scores_counts():
    anomaly_map, mask = maps()
    assert exact_aupro(anomaly_map.double().mul(3).exp(), mask) == exact_aupro(anomaly_map, mask)
    assert binned_aupro(anomaly_map * 2**-2, mask) == binned_aupro(anomaly_map, mask)


def two_regions():
    """Masks of two images: one with regions of 16 pixels and 1 pixel, one without defect."""
    mask = torch.zeros(2, 1, 10, 10)
    mask[0, 0, :4, :4] = 1
    mask[0, 0, 8, 8] = 1
    return mask


def test_closed_forms():
    mask = two_regions()
    truth = mask[:, 0]
    assert exact_aupro(truth, mask) == 1
    assert exact_aupro(torch.full_like(truth, 0.3), mask) == pytest.approx(0.15)  # the chord from (0,0) to (1,1)
    large = truth.clone()
    large[0, 8, 8] = 0
    assert exact_aupro(large, mask) == pytest.approx(0.5 + 0.5 * 0.15)  # one region at rate 0, then a chord
    assert exact_aupro(1 - truth, mask) == 0


def test_all_regions_have_equal_weight_and_diagonal_pixels_are_connected():
    weights = region_weights(two_regions())
    assert weights.dtype == torch.float64
    assert weights.shape == (2, 10, 10)
    assert weights[0, 0, 0] == 1 / 16
    assert weights[0, 8, 8] == 1
    assert weights.sum().item() == pytest.approx(2)
    diagonal = torch.eye(3).expand(2, 1, 3, 3)  # one region in each of two images
    assert torch.equal(region_weights(diagonal), (torch.eye(3).double() / 3).expand(2, 3, 3).contiguous())
    assert torch.equal(region_weights(torch.ones(1, 1, 2, 2)), torch.full((1, 2, 2), 0.25, dtype=torch.float64))
    assert not region_weights(torch.zeros(1, 1, 2, 2)).any()


def test_a_full_mask_is_a_region_without_normal_pixels():
    anomaly_map, mask = maps()
    assert mask[1].all()
    assert not mask[0].any()
    kept = [0, 2, 3, 4, 5]
    with_full, without = exact_aupro(anomaly_map, mask), exact_aupro(anomaly_map[kept], mask[kept])
    assert with_full != without
    assert with_full == pytest.approx(looped_aupro(anomaly_map, mask), abs=1e-12)
