"""Whether a generator copies its training images."""

import math

from torch import Tensor

from rgi.metrics.generative.checks import check_sets

CHUNK = 1024  # training images compared at a time


def memorisation(samples: Tensor, held_out: Tensor, training: Tensor) -> dict[str, float]:
    """Do samples lie closer to the training images than other real images do?

    The measure is `nearest_training`. Five in a hundred held-out images lie closer to a training image than the 5 %
    quantile of their distances; if more of the samples do, the generator copies, or paints what is near to everything:
    blurred images are nearer to any image than sharp ones are, so look at the samples in question. Both are compared
    with the same training images, hence any number of them does; there should be 100 held-out images or more.

    Args:
        samples: (N,C,H,W) in [-1,1], drawn from the generator.
        held_out: (M,C,H,W) in [-1,1], real images of the same kind that the generator has never seen.
        training: (K,C,H,W) in [-1,1], what it was trained on.

    Returns:
        sample_distance, held_out_distance: medians, in units of the images.
        copies: share of samples strictly closer than the 5 % quantile of the held-out images. Near 0.05: none.

    Raises:
        InputError: shapes that differ, NaN or infinities.
    """
    check_sets(samples=samples, held_out=held_out, training=training)
    sample_distances, held_out_distances = nearest_training(samples, training), nearest_training(held_out, training)
    return {
        "sample_distance": sample_distances.quantile(0.5).item(),
        "held_out_distance": held_out_distances.quantile(0.5).item(),
        "copies": (sample_distances < held_out_distances.quantile(0.05)).float().mean().item(),
    }


def nearest_training(images: Tensor, training: Tensor, chunk: int = CHUNK) -> Tensor:
    """Root-mean-square difference of each image to the training image nearest to it: (N,) float32, in [0,2].

    Of training images that differ by 1e-4 or less, any may count as the nearest.

    Args:
        images: (N,C,H,W) in [-1,1].
        training: (M,C,H,W) in [-1,1], on any device: it is moved chunk by chunk.
        chunk: training images per matrix product.

    Raises:
        InputError: shapes that differ, NaN or infinities.
    """
    check_sets(images=images, training=training)
    centre = training[:chunk].to(images.device).float().mean(0)  # short vectors lose less to rounding
    points = (images.float() - centre).flatten(1)
    best = points.new_full((len(points),), math.inf)
    for part in training.split(chunk):
        others = (part.to(images.device).float() - centre).flatten(1)
        # Without |x|², the same for all. It cancels where images are nearly equal, so it only tells which is nearest.
        nearest = (others.square().sum(1) - 2 * points @ others.T).argmin(1)
        best = best.minimum((points - others[nearest]).square().mean(1).sqrt())
    return best
