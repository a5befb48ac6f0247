"""PaDiM: a Gaussian of features at each position of the image.

Defard, Setkov, Loesch, Audigier, "PaDiM: a patch distribution modeling framework for anomaly detection and
localization", ICPR workshops 2020 (LNCS 2021).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rgi.baselines.base import Baseline
from rgi.baselines.features import Features, embed, upsample_scores
from rgi.errors import InputError
from rgi.validation import Count, Positive, Seed, checked

ROUNDING = 1e-12  # squared, of float32: features that vary by less, in units of themselves, do not vary
FLAT = 1e-6  # of the mean variance: what a channel that never varied is taken to vary by


class PaDiM(Baseline):
    """Maps the Mahalanobis distance √((e - μ)ᵀ Σ⁻¹ (e - μ)) of the features e at each position; restores nothing.

    The maps are joined at the finest one's resolution, and some of the channels drawn, once for all positions. Σ is the
    sample covariance plus ε v on the diagonal, v the channel's variance averaged over positions. The paper adds ε,
    which presumes features of about unit variance; this is the same in units of the channel, for any extractor.

    Args:
        features: see `rgi.baselines.features`.
        dimensions: channels that are drawn, or all there are. Memory and time grow with its square, times positions.
        regularisation: ε.
        seed: of the draw.

    Raises:
        InputError: an option out of range.
    """

    @checked("baseline")
    def __init__(
        self, features: Features, dimensions: Count = 100, regularisation: Positive = 0.01, seed: Seed = 0
    ) -> None:
        super().__init__()
        self.features, self.dimensions, self.regularisation, self.seed = features, dimensions, regularisation, seed
        for name in ("channels", "mean", "whitening"):
            self.register_buffer(name, None)

    def _fit(self, images: Tensor) -> None:
        _, available, *self.grid = next(embed(self.features, images[:1])).shape
        drawn = torch.randperm(available, generator=torch.Generator().manual_seed(self.seed))[: self.dimensions]
        self.channels = drawn.sort().values.to(images.device)
        # Two passes over the features, since all of them at once would not fit, and one pass would cancel digits.
        self.mean = sum(part.sum(1, keepdim=True) for part in self._positions(images)) / len(images)
        centred = (part - self.mean for part in self._positions(images))
        covariance = sum(part.mT @ part for part in centred) / (len(images) - 1)
        variance = covariance.diagonal(dim1=1, dim2=2).mean(0)
        if not variance.mean() > ROUNDING * self.mean.square().mean():
            raise InputError("images: their features are all the same; fit PaDiM to images that differ")
        ridge = self.regularisation * variance.clamp(min=FLAT * variance.mean())
        factor = torch.linalg.cholesky(covariance + ridge.diag())
        identity = torch.eye(len(ridge), device=images.device).expand_as(factor)
        self.whitening = torch.linalg.solve_triangular(factor, identity, upper=False)

    def _positions(self, images: Tensor) -> Iterator[Tensor]:
        """Features (P,n,D) at the P positions of n images at a time."""
        for part in embed(self.features, images):
            yield part[:, self.channels].flatten(2).permute(2, 0, 1)

    def _score(self, observed: Tensor, restored: None) -> Tensor:
        # Σ = L Lᵀ, so that the distance is |L⁻¹ (e - μ)|.
        distances = [((part - self.mean) @ self.whitening.mT).norm(dim=2).T for part in self._positions(observed)]
        return upsample_scores(torch.cat(distances).unflatten(1, self.grid), *observed.shape[2:])
