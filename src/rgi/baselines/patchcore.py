"""PatchCore: the distance of each patch's features from the nearest of a bank of clean ones.

Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler, "Towards total recall in industrial anomaly detection", CVPR 2022.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rgi.baselines.base import Baseline, progress_bar
from rgi.baselines.features import Features, embed, upsample_scores
from rgi.validation import Count, Seed, checked

NEIGHBOURHOOD = 3  # positions a side that a patch's features are the mean of


class PatchCore(Baseline):
    """Maps min over m in the bank of |e - m| for the features e at each position; restores nothing.

    The bank is a coreset of the clean images' features, wherever in the image they were: `greedy_coreset` of random
    candidates, since all would not fit into memory. The paper's weighting of one score per image, from the bank's
    density, is left out: here an image scores what the maximum of its map says, as with every method.

    Args:
        features: see `rgi.baselines.features`; the paper takes the second and third stage of a residual network.
        patches: in the bank; all candidates if there are not more.
        candidates: drawn from all patches of all images. Time grows with candidates times patches.
        projection: random directions in which the coreset, and nothing else, measures distances.
        seed: of candidates, projection and coreset.

    Raises:
        InputError: an option out of range.
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
        found, first = [], 0
        for part in self._embed(images):
            rows = part.permute(0, 2, 3, 1).flatten(0, 2)
            inside = drawn[(drawn >= first) & (drawn < first + len(rows))]
            found.append(rows[(inside - first).to(rows.device)])
            first += len(rows)
        candidates = torch.cat(found)
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
    """Indices (min(count, N),) of points that cover all of them: each is the one farthest from those before it.

    Gonzalez, "Clustering to minimize the maximum intercluster distance" (1985): no choice of as many covers them within
    less than half the radius. The first is drawn.

    Args:
        points: (N,D).
        count: all are taken if there are not more.
        projection: Gaussian directions in which distances are measured, which keep them approximately (Johnson and
            Lindenstrauss); D of them or more are not used.
        random: on the CPU.
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
    """Distance (Q,) of each query (Q,D) to the nearest row of the bank (N,D)."""
    # A matrix product finds the neighbour fast, but cancels the digits of a small distance: that is measured anew.
    centre = bank.mean(0)
    points = bank - centre
    nearest = (points.square().sum(1) / 2 - (queries - centre) @ points.T).argmin(1)
    return (queries - bank[nearest]).norm(dim=1)
