"""Holes in images, for inpainting: each class defines the region of the hole, and `fill` its content."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rgi.data.corruptions.corruption import Corruption, FillImages
from rgi.data.corruptions.fills import CONTENTS, fill
from rgi.data.corruptions.regions import regions
from rgi.data.corruptions.strokes import strokes
from rgi.errors import InputError
from rgi.validation import Fraction, Seed, Switch, checked, one_of

REGION_STREAM, CONTENT_STREAM = 0, 1  # streams of `Corruption.random_generator`
Fill = one_of(*CONTENTS)


class Hole(Corruption):
    """A hole: a region of the image has another content.

    Args:
        fill: kind of content, see `rgi.data.corruptions.fills.fill`; ``image`` uses validation images.
        seed: seed of all random choices.

    Raises:
        InputError: the kind of content is unknown.
    """

    @checked("corruption")
    def __init__(self, fill: Fill, seed: Seed) -> None:
        super().__init__(seed)
        self.fill = fill

    @abstractmethod
    def region(self, name: str, resolution: int) -> Tensor:
        """Mask (1,1,H,W) in {0, 1} of the image with this name, 1 = hole; H and W are ``resolution``."""

    def check(self, names: Sequence[str], resolution: int, fill_images: FillImages) -> None:
        """Check that the hole covers some pixels but not all, and that the images for ``fill="image"`` exist.

        Raises:
            InputError: the check fails.
        """
        if self.fill == "image":
            fill_images()
        covered = self.region(names[0], resolution).mean()
        if covered in (0, 1):
            much = "no" if covered == 0 else "every"
            raise InputError(f"corruption.fraction: covers {much} pixel of {resolution}x{resolution}; change it")

    def __call__(self, clean: Tensor, name: str, fill_images: FillImages) -> tuple[Tensor, Tensor]:
        """Fill the hole, see `Corruption.__call__`."""
        mask, rng = self.region(name, clean.shape[-1]), self.random_generator(name, CONTENT_STREAM)
        other = _another(clean, fill_images, rng) if self.fill == "image" else None
        return fill(clean, mask, self.fill, _torch(rng), other), mask


def _another(clean: Tensor, fill_images: FillImages, rng: np.random.Generator) -> Tensor:
    """A random image (1,C,H,W) other than the clean image, which may be a validation image, too."""
    images = fill_images()
    first = int(rng.integers(len(images)))
    image = images[first][None]
    return images[(first + 1) % len(images)][None] if image.equal(clean) else image


class Central(Hole):
    """A square hole at the same place in all images.

    Args:
        fraction: share of the image area, above 0 and below 1; the side is rounded to whole pixels.
        centre: row and column of the square's centre, in units of the image side, above 0 and below 1; 0.5 is the
            centre of the image.
        fill: kind of content, see `Hole`.
        seed: seed of all random choices.

    Raises:
        InputError: an option is out of range, or a part of the square is outside the image.
    """

    @checked("corruption")
    def __init__(self, fraction: Fraction, centre: Fraction, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        self.fraction, self.centre = fraction, centre
        if not fraction**0.5 / 2 <= min(centre, 1 - centre):
            raise InputError(
                f"corruption.centre={centre}: the hole is partly outside the image; choose a smaller fraction"
            )

    def region(self, name: str, resolution: int) -> Tensor:
        """Mask (1,1,H,W) of the square, see `Hole.region`."""
        side = round(resolution * self.fraction**0.5)
        first = min(max(round(resolution * self.centre - side / 2), 0), resolution - side)
        mask = torch.zeros(1, 1, resolution, resolution)
        mask[..., first : first + side, first : first + side] = 1
        return mask


class RandomPixels(Hole):
    """Random single pixels, corrupted in all channels.

    Args:
        fraction: share of the pixels, above 0 and below 1; exact to the nearest pixel.
        shared: whether all images have the same mask, as in the authors' code.
        fill: kind of content, see `Hole`.
        seed: seed of all random choices.

    Raises:
        InputError: an option is out of range.
    """

    @checked("corruption")
    def __init__(self, fraction: Fraction, shared: Switch, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        self.fraction, self.shared = fraction, shared

    def region(self, name: str, resolution: int) -> Tensor:
        """Mask (1,1,H,W) of the random pixels, see `Hole.region`."""
        rng = self.random_generator("" if self.shared else name, REGION_STREAM)
        return regions(torch.tensor([self.fraction]), resolution, 0, _torch(rng))


class Irregular(Hole):
    """Free-form strokes of a round brush, different in each image (see `strokes`).

    Args:
        fraction: share of the pixels, above 0 and below 1; exact to the nearest pixel.
        fill: kind of content, see `Hole`.
        seed: seed of all random choices.

    Raises:
        InputError: an option is out of range.
    """

    @checked("corruption")
    def __init__(self, fraction: Fraction, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        self.fraction = fraction

    def region(self, name: str, resolution: int) -> Tensor:
        """Mask (1,1,H,W) of the strokes, see `Hole.region`."""
        drawn = strokes(self.fraction, resolution, self.random_generator(name, REGION_STREAM))
        return torch.from_numpy(drawn.astype(np.float32))[None, None]


def _torch(rng: np.random.Generator) -> torch.Generator:
    """A random generator of PyTorch, seeded with 32 random bits; the CPU generator uses no more bits of a seed."""
    return torch.Generator().manual_seed(int(rng.integers(2**32)))
