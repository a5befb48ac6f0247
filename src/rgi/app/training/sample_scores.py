"""Scores of a generator's samples that its card holds: quality, and whether the samples are copies."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rgi.baselines import imagenet
from rgi.data.protocol import stack_images
from rgi.generators.store import GAN
from rgi.metrics.checks import metric_device
from rgi.metrics.generative.memorisation import memorisation
from rgi.metrics.generative.quality import pretrained_quality, sample_quality

COMPARED_IMAGES = 20000  # highest number of training images that samples are compared with, to detect copies


@torch.no_grad()
def scores_of_fit(
    gan: GAN, clean: Dataset[Tensor], held_out: Dataset[Tensor], count: int, seed: int
) -> dict[str, float]:
    """All scores of samples that the card of a trained GAN has, for a generator that was fitted.

    Args:
        gan: fitted generator.
        clean: training images (C,H,W).
        held_out: held-out clean images (C,H,W).
        count: number of samples, and of training images for the comparison, if there are so many.
        seed: seed of the samples.
    """
    real = stack_images(clean, count)
    codes = torch.randn(len(real), gan.card.latent_dim, generator=torch.Generator().manual_seed(seed))
    samples = gan.generator(codes).clamp(-1, 1)
    side = real.shape[2]
    quality = sample_quality(real, samples) if side >= 16 and side & (side - 1) == 0 else {}  # the sides it takes
    return quality | copies_and_imagenet(samples, clean, held_out)


def copies_and_imagenet(samples: Tensor, clean: Dataset[Tensor], held_out: Dataset[Tensor]) -> dict[str, float]:
    """Whether samples are copies; and their scores in ImageNet features, which no critic here has seen.

    Without the extra ``features`` there are no scores in ImageNet features.

    Args:
        samples: samples (N,C,H,W) in [-1,1].
        clean: training images (C,H,W).
        held_out: held-out clean images (C,H,W).
    """
    copies = memorisation(samples, stack_images(held_out), stack_images(clean, COMPARED_IMAGES))
    if not imagenet.is_installed():
        return copies
    device = metric_device(samples.device)
    features, real = imagenet.PooledFeatures().to(device), stack_images(clean, len(samples)).to(device)
    return copies | pretrained_quality(real, samples.to(device), features, imagenet.NAME)
