"""Where an inversion starts: the latent code, chosen without looking at the corruption's place."""

import torch
from torch import Tensor

from rgi.generators.store import GAN
from rgi.inversion.once_per_gan import once_per_gan
from rgi.inversion.weights import SharedWeights

POOL_BATCH = 64


def draw_pool(size: int, latent_dim: int, distribution: str, seed: int) -> Tensor:
    """Latent codes (size,d), N(0,1) or (the paper) U(0,1), a function of the arguments alone."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn if distribution == "normal" else torch.rand
    return draw(size, latent_dim, generator=generator)


def nearest_members(images: Tensor, observed: Tensor, count: int) -> Tensor:
    """For each image the pool's members that are nearest in the Euclidean norm over all pixels; of equals the last.

    images (N,n) and observed (B,C,H,W) -> positions (B,count), nearest first.
    """
    # |x - g|² = |x|² - 2 x·g + |g|², and |x|² is the same for every member
    distance = images.square().sum(1) - 2 * observed.flatten(1) @ images.T
    order = distance.flip(1).argsort(dim=1, stable=True)[:, :count]
    return len(images) - 1 - order


def pool_images(gan: GAN, weights: SharedWeights, pool: Tensor) -> Tensor:
    """G of the whole pool (N,n), evaluated once per GAN and pool."""

    @torch.no_grad()
    def evaluate() -> Tensor:
        return torch.cat([weights.uncompiled(part).flatten(1) for part in pool.split(POOL_BATCH)])

    key = (pool.dtype, weights.dtype, hash(pool.cpu().numpy().tobytes()))
    return once_per_gan(gan, "pool", key, evaluate)
