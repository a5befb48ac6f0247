"""Principal components as a linear generator G(z) = mean + z · basis, a baseline for the other families."""

from math import prod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.generators.store import GAN, Card


class Tuned(NamedTuple):
    """The weights that R-RGI moves.

    Attributes:
        names: names of these parameters of the generator.
        rate: their learning rate, as a multiple of that of the solver.
        eps: ε of their Adam, as a multiple of that of the solver.
    """

    names: tuple[str, ...]
    rate: float
    eps: float


# All d + 1 weights of a pixel of mean + z · basis move this pixel alone, so the mean by itself reaches the same images.
# It has d + 1 times fewer numbers. Rate and ε were chosen on validation images: experiments/generators.
MEAN_ALONE = Tuned(("mean",), rate=20.0, eps=0.1)


def build(latent_dim: int, channels: int, resolution: int) -> tuple["Generator", None]:
    """A linear generator with random weights, as a container for weights from a file; there is no critic.

    Args:
        latent_dim: number of principal components d.
        channels: number of channels C of an image.
        resolution: height and width of an image in pixels.
    """
    return Generator(latent_dim, channels, resolution), None


def fit(images: Tensor, latent_dim: int, dataset: str = "", seed: int = 0) -> GAN:
    """Fit a linear generator to images by principal component analysis.

    The components are scaled by the standard deviation of the images along them, so samples G(z), z ~ N(0,1), have the
    variance of the images.

    Args:
        images: training images (N,C,H,W), H = W.
        latent_dim: number of principal components.
        dataset: name of the dataset for the card.
        seed: seed of the randomised solver, which scikit-learn uses for large problems.

    Returns:
        GAN without critic and encoder.

    Raises:
        InputError: the images have another shape, or NaN or infinite values, or are all the same, or latent_dim is
            too high or too low.
    """
    # Only this function needs scikit-learn, whose import takes a second.
    from sklearn.decomposition import PCA

    check_images(images)
    count, channels, _, resolution = images.shape
    most = min(count - 1, prod(images.shape[1:]))
    if not 1 <= latent_dim <= most:
        raise InputError(
            f"latent_dim={latent_dim}: {count} images of {prod(images.shape[1:])} values have 1 to {most} principal "
            "components; lower latent_dim, or fit more images"
        )
    result = PCA(latent_dim, random_state=seed).fit(images.detach().flatten(1).cpu().numpy())
    generator, _ = build(latent_dim, channels, resolution)
    generator.mean.data.copy_(torch.from_numpy(result.mean_))
    generator.basis.data.copy_(torch.from_numpy(result.components_ * result.explained_variance_[:, None] ** 0.5))
    return GAN(generator, None, None, Card("pca", latent_dim, channels, resolution, dataset=dataset, seed=seed))


def check_images(images: Tensor) -> None:
    """Check the images of a fit.

    Args:
        images: training images (N,C,H,W).

    Raises:
        InputError: the images have another shape, or NaN or infinite values, or are all the same.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3] or not torch.isfinite(images).all():
        raise InputError(f"images {tuple(images.shape)}: must be (N,C,H,W), square and finite; crop or resize them")
    if len(images) > 1 and (images == images[:1]).all():
        raise InputError(f"images: all {len(images)} are the same; fit the generator to different images")


class Generator(nn.Module):
    """Linear generator: latent codes z (B,d) ~ N(0,1) to images (B,C,H,W), G(z) = mean + z · basis."""

    tuned: ClassVar[Tuned] = MEAN_ALONE

    def __init__(self, latent_dim: int, channels: int, resolution: int) -> None:
        super().__init__()
        self.latent_dim, self.shape = latent_dim, (channels, resolution, resolution)
        self.mean = nn.Parameter(torch.zeros(prod(self.shape)))
        self.basis = nn.Parameter(torch.randn(latent_dim, prod(self.shape)) / latent_dim**0.5)

    def forward(self, z: Tensor) -> Tensor:
        return (self.mean + z @ self.basis).unflatten(1, self.shape)
