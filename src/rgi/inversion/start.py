"""Where an inversion starts: the latent code, chosen without looking at the corruption's place."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rgi.generators.store import GAN
from rgi.inversion.weights import SharedWeights

POOL_BATCH = 64
_images: WeakKeyDictionary[GAN, dict[tuple, Tensor]] = WeakKeyDictionary()


def draw_pool(size: int, latent_dim: int, distribution: str, seed: int) -> Tensor:
    """Latent codes (size,d), N(0,1) or (the paper) U(0,1), a function of the arguments alone."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn if distribution == "normal" else torch.rand
    return draw(size, latent_dim, generator=generator)


def nearest_in_pool(gan: GAN, weights: SharedWeights, pool: Tensor, observed: Tensor) -> Tensor:
    """For each image the pool's code whose image is nearest in the Euclidean norm over all pixels; ties: the last.

    pool (N,d) and observed (B,C,H,W) -> (B,d).
    """
    images = _pool_images(gan, weights, pool)
    # |x - g|² = |x|² - 2 x·g + |g|², and |x|² is the same for every member
    distance = images.square().sum(1) - 2 * observed.flatten(1) @ images.T
    last = len(pool) - 1 - distance.flip(1).argmin(1)
    return pool[last]


@torch.no_grad()
def _pool_images(gan: GAN, weights: SharedWeights, pool: Tensor) -> Tensor:
    """G of the whole pool (N,n), evaluated once per GAN and pool.

    The key holds the identity and version of every weight, so that a generator changed in place is evaluated anew.
    """
    state = gan.generator.state_dict(keep_vars=True).values()
    key = (*((t.data_ptr(), t._version) for t in state), pool.dtype, weights.dtype, hash(pool.cpu().numpy().tobytes()))
    cache = _images.setdefault(gan, {})
    if key not in cache:
        cache.clear()  # one pool at a time: its images are the largest thing we hold
        cache[key] = torch.cat([weights(part).flatten(1) for part in pool.split(POOL_BATCH)])
    return cache[key]
