"""All generator metrics that are fast enough for use during training."""

from torch import Tensor

from rgi.metrics.generative.embedding import Features, embed
from rgi.metrics.generative.frechet import frechet_distance
from rgi.metrics.generative.kernel_distance import kernel_distance
from rgi.metrics.generative.precision_recall import precision_recall
from rgi.metrics.generative.random_features import RandomFeatures
from rgi.metrics.generative.sliced_wasserstein import sliced_wasserstein


def sample_quality(
    real: Tensor,
    fake: Tensor,
    features: Features | None = None,
    seed: int = 0,
    descriptors: int = 32,
    projections: int = 128,
    k: int = 3,
) -> dict[str, float]:
    """Sliced Wasserstein distance, precision, recall and kernel distance of generated images.

    Args:
        real: real images (N,C,S,S) in [-1,1], S = 16, 32, 64, ...
        fake: generated images (M,C,S,S) in [-1,1]; M should be equal to N.
        features: network for precision, recall and kernel distance; None means `RandomFeatures` with this seed, for
            images with one or three channels.
        seed: seed of the random network, the positions of the patches and the projections.
        descriptors: number of patches per image and level in `sliced_wasserstein`; a quarter of the paper's number.
        projections: number of projections in `sliced_wasserstein`; a quarter of the paper's number.
        k: number of the neighbour in `precision_recall`.

    Returns:
        swd_<S>, ..., swd_32, swd_16: sliced Wasserstein distance per level of the pyramid; 0 is best.
        swd: mean of these distances.
        precision, recall: in [0,1]; 1 is best.
        kernel_distance: around 0 is best.

    Raises:
        InputError: the shapes do not fit, a set has too few images, or a value is NaN or infinite.
    """
    swd = sliced_wasserstein(real, fake, seed, descriptors, projections)
    if features is None:
        features = RandomFeatures(real.shape[1], seed).to(real.device)
    embedded = embed(real, features), embed(fake, features)
    precision, recall = precision_recall(*embedded, k)
    return {
        **{f"swd_{resolution}": distance for resolution, distance in swd.items()},
        "swd": sum(swd.values()) / len(swd),
        "precision": precision,
        "recall": recall,
        "kernel_distance": kernel_distance(*embedded),
    }


def pretrained_quality(real: Tensor, fake: Tensor, features: Features, name: str) -> dict[str, float]:
    """Fréchet distance, kernel distance, precision and recall of generated images in the features of one network.

    Judge no generator by features that its critic was trained with.

    Args:
        real: real images (N,C,H,W) in [-1,1]; for the Fréchet distance, N and M must exceed the number of features.
        fake: generated images (M,C,H,W) in [-1,1].
        features: network in evaluation mode.
        name: name of the network, which all keys begin with: numbers of different networks are not comparable.

    Returns:
        <name>_frechet: 0 is best, see `frechet_distance`; <name>_kernel_distance: around 0 is best.
        <name>_precision, <name>_recall: in [0,1]; 1 is best.

    Raises:
        InputError: the shapes do not fit, a set has too few images, or a value is NaN or infinite.
    """
    embedded = embed(real, features), embed(fake, features)
    precision, recall = precision_recall(*embedded)
    return {
        f"{name}_frechet": frechet_distance(*embedded),
        f"{name}_kernel_distance": kernel_distance(*embedded),
        f"{name}_precision": precision,
        f"{name}_recall": recall,
    }
