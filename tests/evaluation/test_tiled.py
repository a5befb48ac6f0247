"""A picture that is solved by tiles."""

import torch

from rgi.data.batch import Batch
from rgi.data.tiles import Tiling
from rgi.evaluation.tiled import solve_by_tiles


def test_results_of_tiles_are_joined():
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 20, 27)
    mask = (torch.rand(1, 1, 20, 27) > 0.5).float()
    tiling, sizes = Tiling(20, 27, 8), []

    def solve(tiles):
        """Everything that is asked for is in the tiles themselves."""
        sizes.append(len(tiles))
        number = torch.arange(len(tiles)) + sum(sizes[:-1])
        return {
            "restored": tiles.observed,
            "map": tiles.mask[:, 0],
            "latent": torch.zeros(len(tiles), 4),
            "score": number / 10,
            "objective": number.float(),
            "evaluations": number + 1,
            "history": torch.stack([number.float(), torch.where(number == 0, 2.0, torch.nan)], 1),
        }

    found = solve_by_tiles(solve, Batch(picture, mask, None, ["a"], ["set"]), tiling, 5)
    count = len(tiling)
    assert sizes == [5] * (count // 5) + [count % 5] * (count % 5 > 0)
    torch.testing.assert_close(found["restored"], picture)
    torch.testing.assert_close(found["map"], mask[:, 0])
    assert found["score"].tolist() == [torch.tensor((count - 1) / 10).item()]
    assert found["evaluations"].tolist() == [count * (count + 1) // 2]
    assert found["history"].tolist() == [[(count - 1) / 2, 2.0]]
    assert "latent" not in found
