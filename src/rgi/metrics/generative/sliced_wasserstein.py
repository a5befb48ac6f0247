"""Sliced Wasserstein distance between the patches of two sets of images at several scales."""

import torch
from torch import Tensor
from torch.nn import functional

from rgi.errors import InputError
from rgi.metrics.generative.checks import check_sets

MIN_SIZE = 16  # pixels: side of the coarsest level of the pyramid
PATCH_SIZE = 7  # pixels: side of a patch
MIN_DEVIATION = 1e-5  # a standard deviation below this is rounding error of float32 and is not scaled to 1


def sliced_wasserstein(
    real: Tensor, fake: Tensor, seed: int = 0, descriptors: int = 128, projections: int = 512
) -> dict[int, float]:
    """Sliced Wasserstein distance between the patches of two sets of images, at each level of a Laplacian pyramid.

    Karras et al., *Progressive growing of GANs*, ICLR 2018, section 5. Coarse levels compare large structures. Fine
    levels compare edges, texture and noise. Each channel of the patches of a set is standardised to mean 0 and standard
    deviation 1, so the distance does not depend on brightness and contrast.

    Patches of both sets have the same positions, so the distance of two equal sets is 0. The distance of two samples of
    the same distribution is above 0, and falls with the number of images and patches.

    Args:
        real: real images (N,C,S,S) in [-1,1], S = 16, 32, 64, ...
        fake: generated images (M,C,S,S) in [-1,1]. Only the first min(N, M) images of each set are used.
        seed: seed of the positions of the patches and of the projections.
        descriptors: number of 7x7 patches per image and level.
        projections: number of random directions; the distance is the mean over the directions.

    Returns:
        Resolution of each level to its distance times 1000, as in the tables of the paper; finest level first.

    Raises:
        InputError: the shapes differ, S is not 16, 32, 64, ..., or a value is NaN or infinite.
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
    """Mean over directions of the Wasserstein-1 distance between two sets of points, projected to a direction.

    Args:
        a: points (N,D).
        b: points (N,D), as many as in ``a``.
        directions: vectors (P,D) of any length except zero.
    """
    total = 0.0
    for part in functional.normalize(directions).split(128):  # all projections at once would need too much memory
        quantiles_a, quantiles_b = ((part @ points.T).sort().values for points in (a, b))
        total += (quantiles_a - quantiles_b).abs().mean(1).sum().item()
    return total / len(directions)


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Laplacian pyramid of images (Burt and Adelson 1983).

    A level is the difference between an image and its reduced and expanded version. The last level is the image itself
    at 16 pixels. ``level + expand(coarser image)`` gives the image at the resolution of the level.

    Args:
        images: (N,C,S,S) float, S = 16, 32, 64, ...

    Returns:
        Levels (N,C,S,S), ..., (N,C,32,32), (N,C,16,16).
    """
    levels = []
    while images.shape[-1] > MIN_SIZE:
        coarse = reduce(images)
        levels.append(images - expand(coarse))
        images = coarse
    return [*levels, images]


def reduce(images: Tensor) -> Tensor:
    """Halve the resolution: 5x5 binomial filter, mirrored border, every second pixel.

    Args:
        images: (N,C,S,S).

    Returns:
        (N,C,S/2,S/2).
    """
    rows = _binomial(images.shape[-1], images)[::2]
    return rows @ images @ rows.T


def expand(images: Tensor) -> Tensor:
    """Double the resolution: insert zeros between pixels and apply the binomial filter of `reduce`.

    Args:
        images: (N,C,S,S).

    Returns:
        (N,C,2S,2S).
    """
    # Factor 2 per axis, because every second pixel is zero.
    columns = 2 * _binomial(2 * images.shape[-1], images)[:, ::2]
    return columns @ images @ columns.T


def _binomial(size: int, like: Tensor) -> Tensor:
    """Binomial filter of one axis as a matrix (size,size), several times faster than a convolution."""
    line = like.new_tensor([1, 4, 6, 4, 1]) / 16
    mirrored = functional.pad(torch.eye(size, dtype=like.dtype, device=like.device)[None], (2, 2), mode="reflect")
    return (mirrored[0].unfold(1, 5, 1) @ line).T


def _patches(level: Tensor, places: Tensor) -> Tensor:
    """Standardised patches (NP,49C) of images (N,C,S,S) at places (2,N,P), the row and column of each patch."""
    windows = level.unfold(2, PATCH_SIZE, 1).unfold(3, PATCH_SIZE, 1)  # a view, so only selected windows are copied
    image = torch.arange(len(level), device=level.device)[:, None]
    patches = windows[image, :, places[0], places[1]].flatten(0, 1)
    deviation, mean = torch.std_mean(patches, (0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / deviation.clamp(min=MIN_DEVIATION)).flatten(1)


def _check_pyramid(images: Tensor) -> None:
    height, width = images.shape[2:]
    if height != width or height < MIN_SIZE or height & (height - 1):
        raise InputError(
            f"images of {height} x {width} pixels: both sides must have {MIN_SIZE}, {2 * MIN_SIZE}, {4 * MIN_SIZE}, ..."
            " pixels; resize the images"
        )
