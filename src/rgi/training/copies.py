"""Moved copies of images, with which principal components also describe objects at slightly other places and sizes."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from rgi.validation import one_of

SHIFT = 1 / 16  # largest shift, as a share of the side
ZOOM = 0.12  # largest change of the size in each direction

MIRRORS = {"none": [], "horizontal": [[3]], "both": [[3], [2], [2, 3]]}  # axes of the mirror images
Flip = one_of(*MIRRORS)


def with_copies(images: Tensor, count: int, flip: Flip, seed: int) -> Tensor:
    """Images, and copies of random ones, each shifted, zoomed and mirrored at random; or their mirror images alone.

    Args:
        images: images (N,C,H,W).
        count: number of copies n; the border is continued by reflection. For 0 the mirror images of all images are
            added, n = N for ``horizontal`` and 3N for ``both``.
        flip: whether half of the copies are mirrored: ``none``, ``horizontal``, or in ``both`` directions.
        seed: seed of all random choices.

    Returns:
        Images (N+n,C,H,W), the given ones first.
    """
    if not count:
        return torch.cat([images, *(images.flip(axes) for axes in MIRRORS[flip])])
    random = torch.Generator().manual_seed(seed)
    maps = torch.zeros(count, 2, 3)
    size = 1 + ZOOM * (2 * torch.rand(count, 2, generator=random) - 1)
    mirrored = torch.where(torch.rand(count, 2, generator=random) < 0.5, -1, 1)
    axes = {"none": 0, "horizontal": 1, "both": 2}[flip]
    mirrored[:, axes:] = 1
    maps[:, 0, 0], maps[:, 1, 1] = (size * mirrored).unbind(1)
    maps[:, :, 2] = 2 * SHIFT * (2 * torch.rand(count, 2, generator=random) - 1)
    chosen = torch.randint(len(images), (count,), generator=random)
    parts = zip(chosen.split(256), maps.split(256), strict=True)
    return torch.cat([images, *(_moved(images[rows], part.to(images)) for rows, part in parts)])


def _moved(images: Tensor, maps: Tensor) -> Tensor:
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, "bilinear", "reflection", align_corners=False)
