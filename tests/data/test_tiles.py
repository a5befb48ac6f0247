"""Tiles cover every picture, and their weights blend them without seams."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgi.data.tiles import OVERLAP, Tiling, axis_weights, starts
from rgi.errors import InputError

TILINGS = st.integers(1, 24).flatmap(
    lambda side: st.builds(Tiling, st.integers(side, 5 * side), st.integers(side, 5 * side), st.just(side))
)


@given(TILINGS)
def test_the_weights_sum_to_one_at_each_pixel_of_any_picture(tiling):
    ones = tiling.blend(torch.ones(len(tiling), 2, tiling.side, tiling.side))
    assert ones.shape == (2, tiling.height, tiling.width)
    torch.testing.assert_close(ones, torch.ones_like(ones))
    assert tiling.weight(0).min() > 0


@given(TILINGS)
def test_blending_the_tiles_of_a_picture_gives_the_picture(tiling):
    picture = torch.rand(3, tiling.height, tiling.width)
    torch.testing.assert_close(tiling.blend(tiling.cut(picture)), picture)


@given(st.integers(8, 64), st.integers(0, 300))
def test_tiles_reach_both_borders_and_overlap(side, more):
    first = starts(side + more, side)
    assert (first[0], first[-1]) == (0, more)
    assert all(side - (after - before) >= int(OVERLAP * side) for before, after in itertools.pairwise(first))
    assert len(first) - 1 <= more / (0.7 * side) + 1  # no more tiles than needed


def test_the_weight_of_a_tile_ends_smoothly_inside_the_picture():
    first = starts(256, 64)
    weights = axis_weights(first, 256, 64)
    assert weights[0, 0] == weights[-1, -1] == 1  # nothing else covers the border
    assert weights[:-1, -1].max() < 0.01
    assert weights[1:, 0].max() < 0.01
    assert weights.diff(dim=1).abs().max() < 0.15


def test_a_picture_smaller_than_a_tile_is_refused():
    with pytest.raises(InputError, match="has 70x63 pixels, and a tile has 64x64"):
        Tiling(63, 70, 64)
