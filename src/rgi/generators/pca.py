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


# The mean by itself reaches all images that the weights of mean + z · basis reach. It has d + 1 times fewer numbers.
# Rate and ε were chosen on validation images: experiments/generators.
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
    check_images(images)
    _, channels, _, resolution = images.shape
    mean, basis = principal_components(images.flatten(1), latent_dim, seed)
    generator, _ = build(latent_dim, channels, resolution)
    generator.load_state_dict({"mean": mean, "basis": basis})
    return GAN(generator, None, None, Card("pca", latent_dim, channels, resolution, dataset=dataset, seed=seed))


def principal_components(vectors: Tensor, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mean (n) and principal components (k,n) of vectors (N,n), each scaled by its standard deviation.

    Args:
        vectors: vectors (N,n).
        count: number of components k.
        seed: seed of the randomised solver, which scikit-learn uses for large problems.

    Raises:
        InputError: the count is too high or too low.
    """
    most = min(len(vectors) - 1, vectors.shape[1])
    if not 1 <= count <= most:
        raise InputError(
            f"latent_dim={count}: {len(vectors)} images of {vectors.shape[1]} values have 1 to {most} principal "
            "components; lower latent_dim, or fit more images"
        )
    # Only this function needs scikit-learn, whose import takes a second.
    from sklearn.decomposition import PCA

    result = PCA(count, random_state=seed).fit(vectors.detach().cpu().numpy())
    scaled = result.components_ * result.explained_variance_[:, None] ** 0.5
    return torch.from_numpy(result.mean_).float(), torch.from_numpy(scaled).float()


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
