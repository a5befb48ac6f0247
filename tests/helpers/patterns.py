"""Clean images that a few numbers describe, and defects that they do not."""

import torch
from torch import Tensor

DEFECT = (..., slice(8, 16), slice(18, 26))


def clean_images(count: int = 24, seed: int = 0, channels: int = 1, noise: float = 0.02) -> Tensor:
    """(count,channels,32,32) in about [-1,1]: a gradient and three waves of random strength, and a little noise."""
    random = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    waves = torch.stack([y - x, (6 * x).sin(), (6 * y).cos(), (5 * (x + y)).sin()])
    strength = 0.6 * torch.rand(count, channels, 4, generator=random) - 0.3
    images = torch.einsum("nck,khw->nchw", strength, waves)
    return images + noise * torch.randn(images.shape, generator=random)


def with_defect(images: Tensor) -> Tensor:
    """A copy with a checkerboard of 8x8 pixels, two shades apart."""
    images = images.clone()
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    images[DEFECT] = 2.0 * ((rows + columns) % 2) - 1
    return images
