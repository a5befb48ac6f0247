"""Thresholds from clean images against a search, and the F1 score at a threshold against scikit-learn."""

import numpy as np
import pytest
import torch
from helpers.two_processes import blobs, residual_maps, use_few_octaves
from sklearn.metrics import f1_score

from rgi.errors import InputError
from rgi.metrics.thresholds import CleanThreshold, FixedThreshold, clean_threshold

pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")


@pytest.fixture(autouse=True, scope="module")
def _few_octaves():
    with pytest.MonkeyPatch.context() as patch:
        use_few_octaves(patch.setattr)
        yield


def clean_maps(kind):
    maps = residual_maps(images=6, side=20)[0]
    changes = {"distinct": maps, "ties": maps.mul(20).round(), "mostly zero": (maps - 0.15).clamp(min=0)}
    return changes[kind]


@pytest.mark.parametrize("kind", ["distinct", "ties", "mostly zero"])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.5])
def test_the_threshold_is_the_lowest_score_with_the_given_rate(kind, rate):
    maps = clean_maps(kind)
    threshold = clean_threshold(maps.split(4), rate)
    scores = np.unique(maps.numpy())
    expected = next(score for score in scores if (maps > score).double().mean() <= rate)
    assert expected <= threshold <= expected * (1 + 2**-17)
    assert (maps > threshold).double().mean() <= rate
    if kind == "ties":
        assert threshold == expected


def test_the_threshold_of_a_constant_map_is_its_value():
    assert clean_threshold([torch.zeros(2, 5, 5)], 0.1) == 0
    assert clean_threshold([torch.full((2, 5, 5), 0.3)], 0.1) == np.float32(0.3)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 1.0, 9.0])
def test_f1_over_batches_equals_scikit_learn(threshold):
    mask = blobs()
    anomaly_map = (mask[:, 0] + residual_maps(images=9, side=31, noise=0.5)[0][:, :24]).mul(5).round() / 5
    metric = FixedThreshold(threshold)
    for part, truth in zip(anomaly_map.split([1, 6, 2]), mask.split([1, 6, 2]), strict=True):
        metric.update(part, truth)
    result = {name: value.item() for name, value in metric.compute().items()}
    truth, called = mask.flatten().numpy(), (anomaly_map > threshold).flatten().numpy()
    assert result["f1_at_clean_threshold"] == pytest.approx(f1_score(truth, called, zero_division=0), abs=1e-12)
    assert result["clean_threshold_fpr"] == pytest.approx(called[truth == 0].mean(), abs=1e-12)
    assert result["clean_threshold"] == threshold


def test_f1_without_defect_pixels_and_rate_without_normal_pixels_are_nan():
    metric = FixedThreshold(0.5)
    metric.update(torch.rand(1, 4, 4), torch.zeros(1, 1, 4, 4))
    assert metric.compute()["f1_at_clean_threshold"].isnan()
    metric = FixedThreshold(0.5)
    metric.update(torch.ones(1, 4, 4), torch.ones(1, 1, 4, 4))
    assert metric.compute()["f1_at_clean_threshold"] == 1
    assert metric.compute()["clean_threshold_fpr"].isnan()


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="maps: is empty"):
        clean_threshold([], 0.1)
    with pytest.raises(InputError, match="false_positive_rate: is 1"):
        CleanThreshold(1.0)
    with pytest.raises(InputError, match="false_positive_rate: is nan"):
        CleanThreshold(float("nan"))
    with pytest.raises(InputError, match="anomaly_map: holds negative scores"):
        clean_threshold([torch.full((1, 2, 2), -1.0)], 0.1)
    with pytest.raises(InputError, match="threshold: is NaN"):
        FixedThreshold(float("nan"))
    assert CleanThreshold(0.1).compute().isnan()
