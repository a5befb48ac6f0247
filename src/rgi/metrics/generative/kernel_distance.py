"""Kernel distance between the features of real and generated images."""

import torch
from torch import Tensor

from rgi.metrics.generative.checks import check_features
from rgi.metrics.generative.embedding import standardise

CHUNK = 1024  # rows of the kernel matrix in memory at a time


def kernel_distance(real_features: Tensor, fake_features: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y/F + 1)³, unbiased estimate, of standardised features.

    This is the kernel inception distance of Bińkowski et al., *Demystifying MMD GANs*, ICLR 2018, with two differences.
    The estimate uses all rows at once instead of subsets. The features are standardised by the mean and the standard
    deviation of the real features; this step adds a small bias.

    The result is around 0, positive or negative, for two samples of the same distribution. The result is negative for
    two equal sets, because the estimate compares no row of a set with itself.

    Args:
        real_features: features of real images (N,F), N > 1.
        fake_features: features of generated images (M,F), M > 1.

    Raises:
        InputError: the shapes do not fit, a set has fewer than two rows, or a value is NaN or infinite.
    """
    check_features(real_features, fake_features, 2)
    real, fake = standardise(real_features, fake_features)
    n, m = len(real), len(fake)
    within = _kernel_sum(real, real, pairs=True) / (n * (n - 1)) + _kernel_sum(fake, fake, pairs=True) / (m * (m - 1))
    return within - 2 * _kernel_sum(real, fake) / (n * m)


def _kernel_sum(a: Tensor, b: Tensor, pairs: bool = False) -> float:
    """Sum of the kernel over all pairs of rows of a and b; with ``pairs`` (a is b), without pairs of equal rows."""
    size = a.shape[1]
    total = sum((part @ b.T / size + 1).pow(3).sum(dtype=torch.float64).item() for part in a.split(CHUNK))
    own = (a.square().sum(1) / size + 1).pow(3).sum(dtype=torch.float64).item() if pairs else 0.0
    return total - own
