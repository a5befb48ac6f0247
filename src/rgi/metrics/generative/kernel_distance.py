"""Kernel distance between real and generated images, in a space of features."""

import torch
from torch import Tensor

from rgi.metrics.generative.checks import check_features
from rgi.metrics.generative.embedding import standardise

CHUNK = 1024  # rows of a matrix of products held at a time


def kernel_distance(real_features: Tensor, fake_features: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y/F + 1)³, unbiased, of standardised features.

    The kernel inception distance of Bińkowski et al., *Demystifying MMD GANs*, ICLR 2018, but of all rows at once
    instead of subsets, and every feature in units of its deviation among the reals, from their mean. Around 0, on
    either side of it, where both sets are samples of one distribution; below 0 for equal sets, since no row is compared
    with itself within a set. Unbiased but for the standardisation, which is estimated from the same reals.

    Args:
        real_features: (N,F), N > 1.
        fake_features: (M,F), M > 1.

    Raises:
        InputError: shapes that do not fit, too few rows, NaN or infinities.
    """
    check_features(real_features, fake_features, 2)
    real, fake = standardise(real_features, fake_features)
    n, m = len(real), len(fake)
    within = _kernel_sum(real, real, pairs=True) / (n * (n - 1)) + _kernel_sum(fake, fake, pairs=True) / (m * (m - 1))
    return within - 2 * _kernel_sum(real, fake) / (n * m)


def _kernel_sum(a: Tensor, b: Tensor, pairs: bool = False) -> float:
    """Sum of the kernel over all rows of a and of b; with pairs (a is b), over all pairs of two different rows."""
    size = a.shape[1]
    total = sum((part @ b.T / size + 1).pow(3).sum(dtype=torch.float64).item() for part in a.split(CHUNK))
    own = (a.square().sum(1) / size + 1).pow(3).sum(dtype=torch.float64).item() if pairs else 0.0
    return total - own
