"""Statistics over images against NumPy."""

import numpy as np
import pytest
import torch

from rgi.metrics.per_image import PerImage

pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")


def summary(values, sizes=None):
    metric = PerImage("score", lambda x: x)
    for part in torch.tensor(values).split(sizes or len(values)):
        metric.update(part)
    return {name.removeprefix("score"): value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize("values", [[3.0], [3.0, 1.0], [5.0, 1.0, 2.0], [1.0, 4.0, 4.0, 9.0]])
def test_statistics_equal_numpy(values):
    expected = {"": np.mean(values), "_median": np.median(values), "_std": np.std(values), "_left_out": 0}
    assert summary(values) == pytest.approx(expected, abs=1e-12)
    assert summary(values, 1) == pytest.approx(expected, abs=1e-12)


def test_images_with_nan_are_left_out_and_counted():
    values = [1.0, float("nan"), 4.0, float("nan"), 2.0]
    assert summary(values, [2, 1, 2]) == {**summary([1.0, 4.0, 2.0]), "_left_out": 2}


def test_an_infinite_value_does_not_change_a_finite_median():
    result = summary([1.0, float("inf"), 4.0, 2.0])
    assert result[""] == float("inf")
    assert result["_median"] == 3
    assert summary([float("inf")] * 2)["_median"] == float("inf")


def test_nan_without_images():
    results = [PerImage("score", lambda x: x).compute(), {"": torch.tensor(summary([float("nan")])[""])}]
    assert np.isnan([results[0][name].item() for name in ("score", "score_median", "score_std")]).all()
    assert results[0]["score_left_out"] == 0
    assert results[1][""].isnan()
