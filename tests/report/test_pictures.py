"""Heat maps with a shared scale, and strips of pictures."""

import numpy as np
import pytest
from PIL import Image

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


def test_panels_of_a_strip_are_where_the_layout_says():
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8)) for _ in range(3)]
    strip = pictures.strip([pictures.Panel("map", 0, "a long label " * 9, each) for each in images])
    layout = pictures.strip_layout((30, 20), 3)
    assert strip.size == layout.size
    for each, (left, top) in zip(images, layout.corners, strict=True):
        box = (left, top, left + 30 * layout.factor, top + 20 * layout.factor)
        shown = strip.crop(box).resize((30, 20), Image.Resampling.NEAREST)
        assert np.array_equal(np.asarray(shown), np.asarray(each))
