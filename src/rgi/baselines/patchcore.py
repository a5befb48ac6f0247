"""PatchCore: the distance between the features of each patch and the nearest features of a memory bank.

Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler, "Towards total recall in industrial anomaly detection", CVPR 2022.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rgi.baselines.base import Baseline, CleanImages, progress_bar
from rgi.baselines.features import Features, embed, upsample_scores
from rgi.validation import Count, Seed, checked

NEIGHBOURHOOD = 3  # side of a patch in positions of the feature map
NEIGHBOURS = 9  # members of the bank that weight the score of an image; the authors' code has this number


class PatchCore(Baseline):
    """Pixel scores from the distance between the features e and the nearest features in the bank; no restoration.

    The bank contains features of clean images from all positions. `greedy_coreset` selects the bank from random
    candidates, because the features of all patches do not fit into memory. The score of an image is the paper's, see
    `image_score`.

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

    def _fit(self, images: CleanImages) -> None:
        random = torch.Generator().manual_seed(self.seed)
        positions = next(self._embed(images.first(), clean=True))[0, 0].numel()
        drawn = torch.randperm(len(images) * positions, generator=random)[: self.candidates].sort().values
        rows_of_parts, first = [], 0
        for part in (features for images_part in images.parts() for features in self._embed(images_part, clean=True)):
            rows = part.permute(0, 2, 3, 1).flatten(0, 2)
            inside = drawn[(drawn >= first) & (drawn < first + len(rows))]
            rows_of_parts.append(rows[(inside - first).to(rows.device)])
            first += len(rows)
        candidates = torch.cat(rows_of_parts)
        self.bank = candidates[greedy_coreset(candidates, self.patches, self.projection, random)]

    def _embed(self, images: Tensor, clean: bool = False) -> Iterator[Tensor]:
        return embed(self.features, images, mode="bilinear", neighbourhood=NEIGHBOURHOOD, clean=clean)

    def _score(self, observed: Tensor, restored: None) -> tuple[Tensor, Tensor]:
        maps, scores = [], []
        for part in self._embed(observed):
            for image in part:
                patches = image.flatten(1).T
                distance, index = nearest(patches, self.bank)
                maps.append(distance.view(image.shape[1:]))
                scores.append(image_score(patches, distance, index, self.bank))
        return upsample_scores(torch.stack(maps), *observed.shape[2:]), torch.stack(scores)


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


def image_score(patches: Tensor, distance: Tensor, index: Tensor, bank: Tensor) -> Tensor:
    """Score of an image, a scalar: equation (7) of the paper.

    The patch with the highest distance decides. Its distance counts for less where the bank is dense: if the
    neighbours of its nearest member are about as near to the patch as that member.

    Args:
        patches: features (Q,D) of the image.
        distance: distance (Q,) of each patch to the nearest member of the bank.
        index: position (Q,) of this member.
        bank: features (N,D).
    """
    worst = distance.argmax()
    if len(bank) == 1:
        return distance[worst]
    member = bank[index[worst]]
    neighbours = (bank - member).norm(dim=1).topk(min(NEIGHBOURS, len(bank)), largest=False).indices
    around = (patches[worst] - bank[neighbours]).norm(dim=1)
    weight = 1 - 1 / (around - distance[worst]).exp().sum()
    return weight.clamp(min=0) * distance[worst]


def nearest(queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of each query to the nearest row of a bank, (Q,), and the position of this row, (Q,).

    Args:
        queries: features (Q,D).
        bank: features (N,D).
    """
    # A matrix product finds the nearest row fast, but is inexact for small distances. Compute the distance again.
    centre = bank.mean(0)
    points = bank - centre
    index = (points.square().sum(1) / 2 - (queries - centre) @ points.T).argmin(1)
    return (queries - bank[index]).norm(dim=1), index
