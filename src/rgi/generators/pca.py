"""Principal components as a linear generator, G(z) = mean + z · basis: the yardstick for every other family."""

from math import prod

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.generators.store import GAN, Card


def build(latent_dim: int, channels: int, resolution: int) -> tuple["Generator", None]:
    """A random linear generator of unit variance, to be filled from a file; there is no critic."""
    return Generator(latent_dim, channels, resolution), None


def fit(images: Tensor, latent_dim: int, dataset: str = "", seed: int = 0) -> GAN:
    """The ``latent_dim`` leading principal components of images (N,C,H,W), H = W.

    Scaled so that z ~ N(0,1) has the images' variance in each of them. ``dataset`` goes on the card; ``seed``
    drives the randomised solver that scikit-learn chooses for large problems.

    Raises:
        InputError: images of another shape or with NaN, or more components than they can span.
    """
    # Fitting alone needs scikit-learn, which takes a second to import.
    from sklearn.decomposition import PCA

    if images.ndim != 4 or images.shape[2] != images.shape[3] or not torch.isfinite(images).all():
        raise InputError(f"images {tuple(images.shape)}: must be (N,C,H,W), square and finite; crop or resize them")
    count, channels, _, resolution = images.shape
    most = min(count - 1, prod(images.shape[1:]))
    if not 1 <= latent_dim <= most:
        raise InputError(
            f"latent_dim={latent_dim}: {count} images of {prod(images.shape[1:])} values have 1 to {most} principal "
            "components; lower it, or fit more images"
        )
    found = PCA(latent_dim, random_state=seed).fit(images.detach().flatten(1).cpu().numpy())
    generator, _ = build(latent_dim, channels, resolution)
    generator.mean.data.copy_(torch.from_numpy(found.mean_))
    generator.basis.data.copy_(torch.from_numpy(found.components_ * found.explained_variance_[:, None] ** 0.5))
    return GAN(generator, None, None, Card("pca", latent_dim, channels, resolution, dataset=dataset, seed=seed))


class Generator(nn.Module):
    """z (B,d) ~ N(0,1) -> image (B,C,H,W)."""

    def __init__(self, latent_dim: int, channels: int, resolution: int) -> None:
        super().__init__()
        self.latent_dim, self.shape = latent_dim, (channels, resolution, resolution)
        self.mean = nn.Parameter(torch.zeros(prod(self.shape)))
        self.basis = nn.Parameter(torch.randn(latent_dim, prod(self.shape)) / latent_dim**0.5)

    def forward(self, z: Tensor) -> Tensor:
        return (self.mean + z @ self.basis).unflatten(1, self.shape)
