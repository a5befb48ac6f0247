"""Solving a picture that is larger than the images of its method: by overlapping tiles, whose results are blended."""

from collections.abc import Callable

import torch
from torch import Tensor

from rgi.data.batch import Batch
from rgi.data.tiles import Tiling

BLENDED = ("restored", "mask", "map", "paper_map")  # one value for each pixel
JOINED: dict[str, Callable[[Tensor], Tensor]] = {  # one value for each tile: (N,...) to (...)
    "score": lambda values: values.amax(0),
    "objective": lambda values: values.mean(0),
    "history": lambda values: values.nanmean(0),
    "iterations": lambda values: values.sum(0),
    "evaluations": lambda values: values.sum(0),
}


def solve_by_tiles(
    solve: Callable[[Batch], dict[str, Tensor]], picture: Batch, tiling: Tiling, at_once: int
) -> dict[str, Tensor]:
    """Solve a picture by tiles.

    Results for pixels are blended, the score is the highest of all tiles, iterations and evaluations are those of all
    tiles together, and objective and history are their means. Latent codes are left out: each tile has its own.

    Args:
        solve: function that solves a batch of tiles, see `rgi.evaluation.base.TestModule.solve`.
        picture: batch of one picture.
        tiling: tiles of the picture.
        at_once: highest number of tiles that are solved together.
    """
    observed, mask = tiling.cut(picture.observed[0]), None if picture.mask is None else tiling.cut(picture.mask[0])
    parts = []
    for some in torch.arange(len(tiling)).split(at_once):
        names, categories = picture.name * len(some), picture.category * len(some)
        part = Batch(observed[some], None if mask is None else mask[some], None, names, categories)
        parts.append(solve(part))
    tiles = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    blended = {name: tiling.blend(tiles[name])[None] for name in BLENDED if name in tiles}
    return blended | {name: join(tiles[name])[None] for name, join in JOINED.items() if name in tiles}
