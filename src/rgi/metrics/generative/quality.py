"""The numbers of a generator that are cheap enough to be computed during a training."""

from torch import Tensor

from rgi.metrics.generative.embedding import Features, embed
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
        real, fake: (N,C,S,S) and (M,C,S,S) in [-1,1], S a power of two from 16 on; M should equal N.
        features: by default ``RandomFeatures`` of this seed, whose channels must be one or three.
        seed: of the random network, of the patches' places and of the projections.
        descriptors, projections: as in `sliced_wasserstein`, a sixteenth of the paper's work.
        k: as in `precision_recall`.

    Returns:
        swd_<S>, ..., swd_32, swd_16 and their mean swd (0 is best); precision and recall in [0,1] (1 is best);
        kernel_distance (around 0 is best).

    Raises:
        InputError: what the functions below refuse.
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
