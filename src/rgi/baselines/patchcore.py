"""PatchCore: the distance between the features of each patch and the nearest features of a memory bank.

Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler, "Towards total recall in industrial anomaly detection", CVPR 2022.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rgi.baselines.base import Baseline, progress_bar
from rgi.baselines.features import Features, embed, upsample_scores
from rgi.validation import Count, Seed, checked

NEIGHBOURHOOD = 3  # side of a patch in positions of the feature map


class PatchCore(Baseline):
    """Pixel scores from the distance between the features e and the nearest features in the bank; no restoration.

    The bank contains features of clean images from all positions. `greedy_coreset` selects the bank from random
    candidates, because the features of all patches do not fit into memory. The paper also weights the score of an image
    by the density of the bank. This weight is left out: the score of an image is the maximum of its map, as for all
    methods here.

    Args:
        features: feature extractor, see `rgi.baselines.features`. The paper uses stages 2 and 3 of a residual network.
        patches: highest number of patches in the bank.
        candidates: highest number of candidates from the patches of all images. Time is proportional to the candidates
            times the patches.
        projection: number of random directions in which the coreset measures distances.
        seed: seed of candidates, projection and coreset.

    Raises:
        InputError: an option is out of range.
    """

    min_images = 1

    @checked("baseline")
    def __init__(
        self,
        features: Features,
        patches: Count = 2000,
        candidates: Count = 20_000,
        projection: Count = 128,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.features, self.patches, self.candidates = features, patches, candidates
        self.projection, self.seed = projection, seed
        self.register_buffer("bank", None)

    def _fit(self, images: Tensor) -> None:
        random = torch.Generator().manual_seed(self.seed)
        positions = next(self._embed(images[:1]))[0, 0].numel()
        drawn = torch.randperm(len(images) * positions, generator=random)[: self.candidates].sort().values
        rows_of_parts, first = [], 0
        for part in self._embed(images):
            rows = part.permute(0, 2, 3, 1).flatten(0, 2)
            inside = drawn[(drawn >= first) & (drawn < first + len(rows))]
            rows_of_parts.append(rows[(inside - first).to(rows.device)])
            first += len(rows)
        candidates = torch.cat(rows_of_parts)
        self.bank = candidates[greedy_coreset(candidates, self.patches, self.projection, random)]

    def _embed(self, images: Tensor) -> Iterator[Tensor]:
        return embed(self.features, images, mode="bilinear", neighbourhood=NEIGHBOURHOOD)

    def _score(self, observed: Tensor, restored: None) -> Tensor:
        distances = [
            nearest_distance(image.flatten(1).T, self.bank).view(image.shape[1:])
            for part in self._embed(observed)
            for image in part
        ]
        return upsample_scores(torch.stack(distances), *observed.shape[2:])


def greedy_coreset(points: Tensor, count: int, projection: int, random: torch.Generator) -> Tensor:
    """Select points that cover all points, by farthest-point sampling; returns indices (min(count, N),).

    The first point is random. Each further point is the point with the largest distance from all selected points. The
    covering radius is at most twice the best radius for the same number of points (Gonzalez, "Clustering to minimize
    the maximum intercluster distance", 1985).

    Args:
        points: points (N,D).
        count: highest number of selected points.
        projection: number of random Gaussian directions in which distances are measured. The projection preserves
            distances approximately (Johnson and Lindenstrauss). With D or more directions, there is no projection.
        random: source of all random numbers, on the CPU.
    """
    if count >= len(points):
        return torch.arange(len(points), device=points.device)
    if projection < points.shape[1]:
        directions = torch.randn(points.shape[1], projection, generator=random) / projection**0.5
        points = points @ directions.to(points.device)
    chosen = torch.empty(count, dtype=torch.int64, device=points.device)
    chosen[0] = int(torch.randint(len(points), (1,), generator=random))
    distance = points.new_full((len(points),), torch.inf)
    for i in progress_bar(count - 1, "patchcore"):
        distance = torch.minimum(distance, (points - points[chosen[i]]).square().sum(1))
        chosen[i + 1] = distance.argmax()
    return chosen


def nearest_distance(queries: Tensor, bank: Tensor) -> Tensor:
    """Distance of each query to the nearest row of a bank: (Q,).

    Args:
        queries: features (Q,D).
        bank: features (N,D).
    """
    # A matrix product finds the nearest row fast, but is inexact for small distances. Compute the distance again.
    centre = bank.mean(0)
    points = bank - centre
    nearest = (points.square().sum(1) / 2 - (queries - centre) @ points.T).argmin(1)
    return (queries - bank[nearest]).norm(dim=1)
