"""Heat maps with a shared scale, and outlines of true masks."""

import re

import numpy as np
import pytest

from rgi.report import pictures

NAN = float("nan")


def test_heat_maps_of_a_method_have_the_same_scale():
    random = np.random.default_rng(0)
    maps = [random.gamma(2, factor, (20, 30)) for factor in (0.1, 1.0)]
    scale = pictures.heatmap_scale(maps)
    assert np.mean(np.stack(maps) > scale) == pytest.approx(0.005, abs=1e-3)
    levels = [np.asarray(pictures.heatmap(each, scale), float) for each in maps]
    for level, each in zip(levels, maps, strict=True):
        assert np.abs(level / 255 * scale - each.clip(0, scale)).max() <= scale / 255
    assert levels[0].max() < 255 == levels[1].max()


@pytest.mark.parametrize(
    ("anomaly_map", "expected"),
    [
        (np.zeros((40, 40)), 1.0),
        (np.pad([[3.0]], ((0, 39), (0, 39))), 3.0),
        (np.full((4, 4), NAN), 1.0),
        (np.array([[2.0, np.inf, NAN]]), 2.0),
    ],
)
def test_scale_of_sparse_maps_and_of_maps_with_nan_or_infinity(anomaly_map, expected):
    assert pictures.heatmap_scale([anomaly_map]) == expected
    assert pictures.heatmap(anomaly_map, expected).size == anomaly_map.shape[::-1]


def test_the_outline_encloses_the_mask():
    truth = np.random.default_rng(1).random((11, 17)) < 0.5
    crossed = {"h": np.zeros((12, 17), int), "v": np.zeros((11, 18), int)}
    for x, y, way, length in re.findall(r"M(\d+) (\d+)([hv])(\d+)", pictures.outline_path(truth)):
        across, down = (int(length), 1) if way == "h" else (1, int(length))
        crossed[way][int(y) : int(y) + down, int(x) : int(x) + across] += 1
    # A pixel is inside the mask if the number of borders between the pixel and the image edge is odd.
    assert np.array_equal(crossed["v"].cumsum(1)[:, :-1] % 2 == 1, truth)
    assert np.array_equal(crossed["h"].cumsum(0)[:-1] % 2 == 1, truth)
    assert pictures.outline_path(np.zeros((5, 5), bool)) == ""
