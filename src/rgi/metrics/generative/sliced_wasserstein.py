"""Sliced Wasserstein distance between the patches of two sets of images, scale by scale."""

import torch
from torch import Tensor
from torch.nn import functional

from rgi.errors import InputError
from rgi.metrics.generative.checks import check_sets

MIN_SIZE = 16  # pixels: the coarsest level of the pyramid
PATCH_SIZE = 7  # pixels: the side of a descriptor
MIN_DEVIATION = 1e-5  # a spread of pixels below this is rounding of float32 and is not stretched to 1


def sliced_wasserstein(
    real: Tensor, fake: Tensor, seed: int = 0, descriptors: int = 128, projections: int = 512
) -> dict[int, float]:
    """Sliced Wasserstein distance between the patches of two sets of images, at each level of a Laplacian pyramid.

    Karras et al., *Progressive growing of GANs*, ICLR 2018, section 5. Coarse levels compare large structures, fine
    levels edges, texture and noise. Each channel of each set's patches is brought to mean 0 and deviation 1 first, so
    that brightness and contrast as such go unseen. Both sets are looked at in the same places, so that equal sets
    have distance 0. Two samples of one distribution do not: a floor remains that sinks as images and patches are added.

    Args:
        real, fake: (N,C,S,S) in [-1,1], S = 16, 32, 64, ...; of the larger set only the first images are taken.
        seed: of the patches' places and of the projections.
        descriptors: 7x7 patches per image and level.
        projections: random directions, over which the distance is averaged.

    Returns:
        Resolution of the level, finest first, to its distance times 1000, as the paper's tables have it.

    Raises:
        InputError: shapes that differ, another S, NaN or infinities.
    """
    check_sets(real=real, fake=fake)
    _check_pyramid(real)
    count = min(len(real), len(fake))
    pyramids = [laplacian_pyramid(images[:count].float()) for images in (real, fake)]
    random = torch.Generator().manual_seed(seed)
    distances = {}
    for levels in zip(*pyramids, strict=True):
        side = levels[0].shape[-1]
        places = torch.randint(side - PATCH_SIZE + 1, (2, count, descriptors), generator=random).to(real.device)
        directions = torch.randn(projections, real.shape[1] * PATCH_SIZE**2, generator=random).to(real.device)
        distances[side] = 1000 * sliced_distance(*(_patches(level, places) for level in levels), directions)
    return distances


def sliced_distance(a: Tensor, b: Tensor, directions: Tensor) -> float:
    """Mean over directions of the Wasserstein-1 distance between two equally large sets, projected to a line.

    Args:
        a, b: (N,D) points.
        directions: (P,D), of any length but zero.
    """
    total = 0.0
    for part in functional.normalize(directions).split(128):  # all projections at once would fill the memory
        quantiles_a, quantiles_b = ((part @ points.T).sort().values for points in (a, b))
        total += (quantiles_a - quantiles_b).abs().mean(1).sum().item()
    return total / len(directions)


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """What each halving loses, from the full resolution to 32 pixels, and last the image at 16 pixels.

    Args:
        images: (N,C,S,S) float, S = 16, 32, 64, ...

    Returns:
        (N,C,S,S), ..., (N,C,16,16). ``level + expand(coarser image)`` leads back up.
    """
    levels = []
    while images.shape[-1] > MIN_SIZE:
        coarse = reduce(images)
        levels.append(images - expand(coarse))
        images = coarse
    return [*levels, images]


def reduce(images: Tensor) -> Tensor:
    """Half the resolution: 5x5 binomial filter, mirrored at the border, every second pixel. (N,C,S,S)."""
    rows = _binomial(images.shape[-1], images)[::2]
    return rows @ images @ rows.T


def expand(images: Tensor) -> Tensor:
    """Twice the resolution: zeros between the pixels, filled in by the same filter. (N,C,S,S)."""
    columns = 2 * _binomial(2 * images.shape[-1], images)[:, ::2]  # per axis, one pixel carries the mean of two
    return columns @ images @ columns.T


def _binomial(size: int, like: Tensor) -> Tensor:
    """The filter of one axis as a matrix (size,size): a product is several times faster than a convolution."""
    line = like.new_tensor([1, 4, 6, 4, 1]) / 16
    mirrored = functional.pad(torch.eye(size, dtype=like.dtype, device=like.device)[None], (2, 2), mode="reflect")
    return (mirrored[0].unfold(1, 5, 1) @ line).T


def _patches(level: Tensor, places: Tensor) -> Tensor:
    """Patches at places (2,N,P) of images (N,C,S,S), each channel with mean 0 and deviation 1: (NP,49C)."""
    windows = level.unfold(2, PATCH_SIZE, 1).unfold(3, PATCH_SIZE, 1)  # a view: only the chosen ones are ever copied
    image = torch.arange(len(level), device=level.device)[:, None]
    patches = windows[image, :, places[0], places[1]].flatten(0, 1)
    deviation, mean = torch.std_mean(patches, (0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / deviation.clamp(min=MIN_DEVIATION)).flatten(1)


def _check_pyramid(images: Tensor) -> None:
    height, width = images.shape[2:]
    if height != width or height < MIN_SIZE or height & (height - 1):
        raise InputError(
            f"images of {height} x {width} pixels: a pyramid down to {MIN_SIZE} pixels needs squares of"
            f" {MIN_SIZE}, {2 * MIN_SIZE}, {4 * MIN_SIZE}, ... pixels; resize them"
        )
