"""Principal component analysis: the restoration is the projection to the subspace of the clean images.

Source: Turk and Pentland, "Eigenfaces for recognition", Journal of Cognitive Neuroscience 3 (1991). Their distance from
face space is the norm of the residual.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rgi.baselines.base import Baseline, CleanImages
from rgi.errors import InputError
from rgi.generators import pca
from rgi.validation import Count, Seed, checked


class PCA(Baseline):
    """Restoration m + U Uᵀ (x - m), where m is the mean and the orthonormal columns of U are the leading components.

    Args:
        components: number of components, below the number of images. More components also restore more of a defect.
        seed: seed of the randomised solver that scikit-learn uses for large problems.

    Raises:
        InputError: an option is out of range.
    """

    @checked("baseline")
    def __init__(self, components: Count = 32, seed: Seed = 0) -> None:
        super().__init__()
        self.components, self.seed = components, seed
        self.register_buffer("mean", None)
        self.register_buffer("basis", None)

    def _fit(self, clean: CleanImages) -> None:
        images = clean.stacked()
        limit = min(len(images) - 1, images[0].numel())
        if self.components > limit:
            raise InputError(
                f"baseline.components={self.components}: {len(images)} images of {images[0].numel()} values span "
                f"{limit} components; use a lower number, or fit more images"
            )
        # The rows of the generator's basis are the components, scaled by their standard deviations. Making a generator
        # draws global random numbers, so the global state is restored afterwards.
        with torch.random.fork_rng(devices=[]):
            generator = pca.fit(images, self.components, seed=self.seed).generator.to(images.device)
        self.mean, self.basis = generator.mean.data, normalize(generator.basis.data)

    def _restore(self, observed: Tensor) -> Tensor:
        coefficients = (observed.flatten(1) - self.mean) @ self.basis.T
        return (self.mean + coefficients @ self.basis).view_as(observed)
