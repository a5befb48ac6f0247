"""Principal components: an image is restored by its projection to the subspace of the clean ones.

Turk and Pentland, "Eigenfaces for recognition", Journal of Cognitive Neuroscience 3 (1991), whose distance from face
space is the length of the residual that is mapped here.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rgi.baselines.base import Baseline
from rgi.errors import InputError
from rgi.generators import pca
from rgi.validation import Count, Seed, checked


class PCA(Baseline):
    """Restores m + U Uᵀ (x - m), with the mean m and the orthonormal columns U of the leading components.

    Args:
        components: fewer than images. The more, the more of a defect is explained, too.
        seed: of the randomised solver that scikit-learn chooses for large problems.

    Raises:
        InputError: an option out of range.
    """

    @checked("baseline")
    def __init__(self, components: Count = 32, seed: Seed = 0) -> None:
        super().__init__()
        self.components, self.seed = components, seed
        self.register_buffer("mean", None)
        self.register_buffer("basis", None)

    def _fit(self, images: Tensor) -> None:
        most = min(len(images) - 1, images[0].numel())
        if self.components > most:
            raise InputError(
                f"baseline.components={self.components}: {len(images)} images of {images[0].numel()} values span "
                f"{most}; lower it, or fit more images"
            )
        # The generator's rows are the same components, at the length of their deviations. A generator is made of
        # random numbers first, which others may be counting on.
        with torch.random.fork_rng(devices=[]):
            found = pca.fit(images, self.components, seed=self.seed).generator.to(images.device)
        self.mean, self.basis = found.mean.data, normalize(found.basis.data)

    def _restore(self, observed: Tensor) -> Tensor:
        coefficients = (observed.flatten(1) - self.mean) @ self.basis.T
        return (self.mean + coefficients @ self.basis).view_as(observed)
