"""Overlapping tiles that cover a large picture, and smooth weights that blend them without seams."""

from functools import cached_property

import torch
from torch import Tensor

from rgi.errors import InputError

OVERLAP = 0.25  # lowest share of a tile's side that it has in common with the next tile


class Tiling:
    """Square tiles that cover a picture row by row; neighbours overlap by at least `OVERLAP` of their side.

    The weight of a tile falls to almost zero towards its neighbours. The weights of all tiles sum to 1 at each pixel.

    Args:
        height: height of the picture in pixels.
        width: width of the picture in pixels.
        side: side of a tile in pixels.

    Raises:
        InputError: the picture is smaller than a tile.
    """

    def __init__(self, height: int, width: int, side: int) -> None:
        if min(height, width) < side:
            raise InputError(f"has {width}x{height} pixels, and a tile has {side}x{side}; use a larger picture")
        self.height, self.width, self.side = height, width, side
        self.rows, self.columns = starts(height, side), starts(width, side)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def place(self, index: int) -> tuple[slice, slice]:
        """Rows and columns of the picture that a tile covers.

        Args:
            index: number of the tile.
        """
        row, column = divmod(index, len(self.columns))
        top, left = self.rows[row], self.columns[column]
        return slice(top, top + self.side), slice(left, left + self.side)

    def weight(self, index: int) -> Tensor:
        """Weights (side,side) of a tile's pixels in the picture."""
        row, column = divmod(index, len(self.columns))
        return self._down[row, :, None] * self._across[column]

    def cut(self, picture: Tensor) -> Tensor:
        """All tiles of a picture.

        Args:
            picture: picture (...,height,width).

        Returns:
            Tiles (N,...,side,side).
        """
        return torch.stack([picture[..., *self.place(index)] for index in range(len(self))])

    def blend(self, tiles: Tensor) -> Tensor:
        """The picture (...,height,width) from all its tiles (N,...,side,side)."""
        picture = tiles.new_zeros(*tiles.shape[1:-2], self.height, self.width)
        for index, tile in enumerate(tiles):
            picture[..., *self.place(index)] += tile * self.weight(index).to(tile)
        return picture

    @cached_property
    def _down(self) -> Tensor:
        return axis_weights(self.rows, self.height, self.side)

    @cached_property
    def _across(self) -> Tensor:
        return axis_weights(self.columns, self.width, self.side)


def starts(length: int, side: int) -> list[int]:
    """First pixels of the tiles along one axis, evenly spaced from one border to the other.

    Args:
        length: length of the axis in pixels, at least ``side``.
        side: side of a tile in pixels.
    """
    step = side - max(1, round(OVERLAP * side)) if side > 1 else 1
    gaps = -(-(length - side) // step)
    return [round(number * (length - side) / gaps) for number in range(gaps + 1)] if gaps else [0]


def axis_weights(first: list[int], length: int, side: int) -> Tensor:
    """Weights (N,side) of N tiles along one axis; at each position the weights of all tiles sum to 1.

    Args:
        first: first pixel of each tile.
        length: length of the axis in pixels.
        side: side of a tile in pixels.
    """
    bump = torch.sin(torch.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side).square()
    total = torch.zeros(length, dtype=torch.float64)
    for start in first:
        total[start : start + side] += bump
    return torch.stack([bump / total[start : start + side] for start in first]).float()
