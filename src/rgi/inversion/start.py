"""The pool of latent codes from which an inversion starts, because Adam finds local minima only."""

import torch
from torch import Tensor

from rgi.generators.store import GAN
from rgi.inversion.once_per_gan import once_per_gan
from rgi.inversion.weights import SharedWeights

POOL_BATCH = 64


def draw_pool(size: int, latent_dim: int, distribution: str, seed: int) -> Tensor:
    """Random latent codes; equal arguments give equal codes.

    Args:
        size: number of codes.
        latent_dim: dimension d of a code.
        distribution: ``normal`` for N(0,1), ``uniform`` for U(0,1) (the paper).
        seed: seed of the random numbers.

    Returns:
        Latent codes (size,d), float32, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn if distribution == "normal" else torch.rand
    return draw(size, latent_dim, generator=generator, dtype=torch.float32)


def nearest_members(images: Tensor, observed: Tensor, count: int) -> Tensor:
    """Positions of the members of the pool that are nearest to each image by Euclidean distance over all pixels.

    For equal distances, the member with the highest position comes first.

    Args:
        images: images G(z) of the pool, (N,n) with n = C H W.
        observed: images (B,C,H,W).
        count: number of members per image.

    Returns:
        Positions in the pool (B,count), nearest first.
    """
    # |x - g|² = |x|² - 2 x·g + |g|². The term |x|² is the same for all members.
    distance = images.square().sum(1) - 2 * observed.flatten(1) @ images.T
    order = distance.flip(1).argsort(dim=1, stable=True)[:, :count]
    return len(images) - 1 - order


def pool_images(gan: GAN, weights: SharedWeights, pool: Tensor) -> Tensor:
    """Images G(z) of the whole pool, evaluated once per GAN and pool.

    Args:
        gan: GAN that the images are stored for.
        weights: generator of the GAN in the precision of the networks.
        pool: latent codes (N,d).

    Returns:
        Images (N,n) with n = C H W.
    """

    @torch.no_grad()
    def evaluate() -> Tensor:
        return torch.cat([weights.uncompiled(part).flatten(1) for part in pool.split(POOL_BATCH)])

    key = (pool.dtype, weights.dtype, hash(pool.cpu().numpy().tobytes()))
    return once_per_gan(gan, "pool", key, evaluate)
