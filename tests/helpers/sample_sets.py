"""Synthetic images and features for tests of generator metrics."""

import numpy as np
import torch
from scipy import ndimage
from torch.nn.functional import interpolate


def images(count=48, side=32, seed=0, channels=1):
    """Smooth random images (N,C,S,S) with weak texture, in [-1,1]."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, channels, side // 8, side // 8, generator=random)
    fine = torch.randn(count, channels, side, side, generator=random)
    return (0.5 * interpolate(coarse, size=side, mode="bicubic") + 0.1 * fine).clamp(-1, 1)


def cloud(count, dimensions=6, seed=0, shift=0.0):
    """Normally distributed features (N,F) with correlated columns."""
    random = np.random.default_rng(seed)
    return torch.from_numpy(
        random.normal(shift, 1, (count, dimensions)) @ random.normal(size=(dimensions,) * 2)
    ).float()


def noisy(clean, strength):
    """Images with additional Gaussian noise."""
    return clean + strength * torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))


def blurred(clean, strength):
    """Images after a Gaussian blur with sigma ``strength``."""
    return torch.from_numpy(ndimage.gaussian_filter(clean.numpy(), (0, 0, strength, strength), mode="mirror"))


def standardised(real, fake):
    """Both sets of features as float64 arrays in units of the standard deviation of the real features."""
    real, fake = real.double().numpy(), fake.double().numpy()
    return (real - real.mean(0)) / real.std(0), (fake - real.mean(0)) / real.std(0)
