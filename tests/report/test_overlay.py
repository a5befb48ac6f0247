"""Heat maps over their pictures."""

import numpy as np
import pytest
from PIL import ImageColor

from rgi.report.overlay import OUTLINE, overlay


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_shows_through_where_the_map_is_low(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (channels, 20, 30), np.uint8)
    heat = np.full((20, 30), 0.5)
    heat[5:10, 5:15], heat[12:14, 20:25] = 3.0, 7.0
    drawn = np.asarray(overlay(pixels, heat, (1.0, 3.0), None)).transpose(2, 0, 1)
    low = heat == 0.5
    assert np.array_equal(drawn[:, low], np.broadcast_to(pixels, (3, 20, 30))[:, low])
    assert drawn[:, heat >= 3].min(1).sum() > 2 * 255 * 0.6  # the last colour is bright, whatever the picture


def test_what_is_above_the_threshold_is_outlined():
    heat = np.zeros((20, 30))
    heat[5:10, 5:15] = 1
    pixels = np.zeros((1, 20, 30), np.uint8)
    lined = (np.asarray(overlay(pixels, heat, (0.0, 1.0), 0.5)) == ImageColor.getrgb(OUTLINE)).all(2)
    assert lined.sum() == 2 * (5 + 10)
    assert lined[4, 5:15].all()
    assert lined[5:10, 15].all()
    assert not lined[5:10, 5:15].any()
