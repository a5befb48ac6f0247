"""Memorisation: a test whether a generator copies its training images."""

import math

from torch import Tensor

from rgi.metrics.generative.checks import check_sets

CHUNK = 1024  # training images per matrix product


def memorisation(samples: Tensor, held_out: Tensor, training: Tensor) -> dict[str, float]:
    """Compare the distances of samples and of held-out images to the nearest training image.

    The distance is `nearest_training`. By definition 5 % of the held-out images are closer to a training image than the
    5 % quantile of the held-out distances. A clearly higher share of the samples means that the generator copies
    training images or that the samples are blurred: a blurred image is closer to all images than a sharp image. Look at
    the closest samples to decide. Samples and held-out images are compared with the same training images, so any number
    of training images is sufficient. Use at least 100 held-out images.

    Args:
        samples: samples of the generator (N,C,H,W) in [-1,1].
        held_out: real images (M,C,H,W) in [-1,1] from the same data set that are not training images.
        training: training images (K,C,H,W) in [-1,1].

    Returns:
        sample_distance: median distance of the samples, in units of pixel values.
        held_out_distance: median distance of the held-out images.
        copies: share of samples that are closer than the 5 % quantile of the held-out distances. A share near 0.05
            means no copies.

    Raises:
        InputError: the shapes differ, or a value is NaN or infinite.
    """
    check_sets(samples=samples, held_out=held_out, training=training)
    sample_distances, held_out_distances = nearest_training(samples, training), nearest_training(held_out, training)
    return {
        "sample_distance": sample_distances.quantile(0.5).item(),
        "held_out_distance": held_out_distances.quantile(0.5).item(),
        "copies": (sample_distances < held_out_distances.quantile(0.05)).float().mean().item(),
    }


def nearest_training(images: Tensor, training: Tensor, chunk: int = CHUNK) -> Tensor:
    """Root-mean-square difference between each image and its nearest training image: (N,) float32, in [0,2].

    If the distances to several training images differ by 1e-4 or less, any of these images may count as the nearest.

    Args:
        images: (N,C,H,W) in [-1,1].
        training: training images (M,C,H,W) in [-1,1] on any device; the function moves one chunk at a time.
        chunk: number of training images per matrix product.

    Raises:
        InputError: the shapes differ, or a value is NaN or infinite.
    """
    check_sets(images=images, training=training)
    centre = training[:chunk].to(images.device).float().mean(0)  # shorter vectors have smaller rounding errors
    points = (images.float() - centre).flatten(1)
    best = points.new_full((len(points),), math.inf)
    for part in training.split(chunk):
        others = (part.to(images.device).float() - centre).flatten(1)
        # |x - t|² without |x|², which is the same for all training images. The rounding error of this formula is too
        # large for nearly equal images, so the formula only selects the nearest image.
        nearest = (others.square().sum(1) - 2 * points @ others.T).argmin(1)
        best = best.minimum((points - others[nearest]).square().mean(1).sqrt())
    return best
