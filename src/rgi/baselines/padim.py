"""PaDiM: one Gaussian distribution of features at each position of the image.

Defard, Setkov, Loesch, Audigier, "PaDiM: a patch distribution modeling framework for anomaly detection and
localization", ICPR workshops 2020 (LNCS 2021).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rgi.baselines.base import Baseline, CleanImages, progress_bar
from rgi.baselines.features import Features, embed, upsample_scores
from rgi.errors import InputError
from rgi.validation import Count, Positive, Seed, checked

ROUNDING = 1e-12  # lowest ratio of variance to squared mean; a smaller variance is a rounding error of float32
FLAT = 1e-6  # lowest variance of a channel, in units of the mean variance; for constant channels


class PaDiM(Baseline):
    """Pixel scores from the Mahalanobis distance √((e - μ)ᵀ Σ⁻¹ (e - μ)) of the features e; no restoration.

    All feature maps are joined at the resolution of the finest map. A random subset of channels is used at all
    positions. Each position has its own mean μ and covariance Σ.

    Σ is the sample covariance plus ε v on the diagonal, where v is the variance of the channel, averaged over
    positions. The paper adds ε without v, which suits only features with a variance of about 1.

    Args:
        features: feature extractor, see `rgi.baselines.features`.
        dimensions: highest number of channels. Memory and time are proportional to its square and to the number of
            positions.
        regularisation: ε, above 0.
        seed: seed of the choice of channels.

    Raises:
        InputError: an option is out of range.
    """

    @checked("baseline")
    def __init__(
        self, features: Features, dimensions: Count = 100, regularisation: Positive = 0.01, seed: Seed = 0
    ) -> None:
        super().__init__()
        self.features, self.dimensions, self.regularisation, self.seed = features, dimensions, regularisation, seed
        for name in ("channels", "grid", "mean", "whitening"):
            self.register_buffer(name, None)

    def _fit(self, images: CleanImages) -> None:
        _, available, *grid = next(embed(self.features, images.first(), clean=True)).shape
        self.grid = torch.tensor(grid, device=images.device)
        drawn = torch.randperm(available, generator=torch.Generator().manual_seed(self.seed))[: self.dimensions]
        self.channels = drawn.sort().values.to(images.device)
        covariance = self._mean_and_covariance(images)
        variance = covariance.diagonal(dim1=1, dim2=2).mean(0)
        if not variance.mean() > ROUNDING * self.mean.square().mean():
            raise InputError("images: the features of all images are all the same; fit PaDiM to different images")
        ridge = self.regularisation * variance.clamp(min=FLAT * variance.mean())
        factor = torch.linalg.cholesky(covariance + ridge.diag())
        identity = torch.eye(len(ridge), device=images.device).expand_as(factor)
        self.whitening = torch.linalg.solve_triangular(factor, identity, upper=False)

    def _mean_and_covariance(self, images: CleanImages) -> Tensor:
        """Set the means (P,1,D), and return the covariances (P,D,D); the features of an image are computed once.

        Sums of squares about zero would lose precision. These are about the mean of the first images.
        """
        total = squares = centre = None
        bar = progress_bar(len(images), "padim", "image")
        for part in (
            features for images_part in images.parts() for features in self._positions(images_part, clean=True)
        ):
            if centre is None:
                centre = part.mean(1, keepdim=True)
                total, squares = torch.zeros_like(centre), centre.new_zeros(len(centre), *2 * centre.shape[2:])
            centred = part - centre
            total += centred.sum(1, keepdim=True)
            squares += centred.mT @ centred
            bar.update(part.shape[1])
        bar.close()
        offset = total / len(images)
        self.mean = centre + offset
        return (squares - len(images) * offset.mT @ offset) / (len(images) - 1)

    def _positions(self, images: Tensor, clean: bool = False) -> Iterator[Tensor]:
        """Yield features (P,n,D) at the P positions of n images at a time."""
        for part in embed(self.features, images, clean=clean):
            yield part[:, self.channels].flatten(2).permute(2, 0, 1)

    def _score(self, observed: Tensor, restored: None) -> Tensor:
        # With Σ = L Lᵀ, the distance is |L⁻¹ (e - μ)|.
        distances = [((part - self.mean) @ self.whitening.mT).norm(dim=2).T for part in self._positions(observed)]
        return upsample_scores(torch.cat(distances).unflatten(1, self.grid.tolist()), *observed.shape[2:])
