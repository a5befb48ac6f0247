"""Holes in images, as inpainting fills them: where they are (a class each) and what is in them (`fill`)."""

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

REGION_STREAM, CONTENT_STREAM = 0, 1  # uses of an image's randomness
Fill = one_of(*CONTENTS)


class Hole(Corruption):
    """A region of the image has another content; the rest is untouched.

    Args:
        fill: one of `rgi.data.corruptions.fills.CONTENTS`; ``image`` takes it from a validation image, so that it does
            not depend on the other test images.
        seed: see `Corruption`.

    Raises:
        InputError: an unknown content.
    """

    @checked("corruption")
    def __init__(self, fill: Fill, seed: Seed) -> None:
        super().__init__(seed)
        self.fill = fill

    @abstractmethod
    def region(self, name: str, resolution: int) -> Tensor:
        """The mask (1,1,H,W) of an image, 1 in the hole."""

    def check(self, names: Sequence[str], resolution: int, fill_images: FillImages) -> None:
        """Holes have an inside and an outside, and there are other images where they are needed.

        Raises:
            InputError: one of these does not hold.
        """
        if self.fill == "image":
            fill_images()
        covered = self.region(names[0], resolution).mean()
        if covered in (0, 1):
            much = "no" if covered == 0 else "every"
            raise InputError(f"corruption.fraction: covers {much} pixel of {resolution}x{resolution}; choose another")

    def __call__(self, clean: Tensor, name: str, fill_images: FillImages) -> tuple[Tensor, Tensor]:
        """Cut the hole and fill it."""
        mask, rng = self.region(name, clean.shape[-1]), self.random_generator(name, CONTENT_STREAM)
        other = _another(clean, fill_images, rng) if self.fill == "image" else None
        return fill(clean, mask, self.fill, _torch(rng), other), mask


def _another(clean: Tensor, fill_images: FillImages, rng: np.random.Generator) -> Tensor:
    """A random image (1,C,H,W) of the other images that is not the clean one: one's own images may be in both parts."""
    images = fill_images()
    first = int(rng.integers(len(images)))
    found = images[first][None]
    return images[(first + 1) % len(images)][None] if found.equal(clean) else found


class Central(Hole):
    """One square, at the same place in all images.

    Args:
        fraction: of the area, above 0 and below 1; the side is rounded to a whole number of pixels.
        centre: row and column of its middle, as a part of the image's side; 1/2 is the middle, to the nearest pixel.
        fill, seed: see `Hole`.

    Raises:
        InputError: an option out of range, or a square that leaves the image.
    """

    @checked("corruption")
    def __init__(self, fraction: Fraction, centre: Fraction, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        self.fraction, self.centre = fraction, centre
        if not fraction**0.5 / 2 <= min(centre, 1 - centre):
            raise InputError(f"corruption.centre={centre}: the hole leaves the image; choose a smaller fraction")

    def region(self, name: str, resolution: int) -> Tensor:
        """A square of ones."""
        side = round(resolution * self.fraction**0.5)
        first = min(max(round(resolution * self.centre - side / 2), 0), resolution - side)
        mask = torch.zeros(1, 1, resolution, resolution)
        mask[..., first : first + side, first : first + side] = 1
        return mask


class RandomPixels(Hole):
    """Single pixels, of all channels, drawn without replacement.

    Args:
        fraction: of the pixels, above 0 and below 1; exact to the nearest pixel.
        shared: all images lose the same pixels (as published), or each its own.
        fill, seed: see `Hole`.

    Raises:
        InputError: an option out of range.
    """

    @checked("corruption")
    def __init__(self, fraction: Fraction, shared: Switch, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        self.fraction, self.shared = fraction, shared

    def region(self, name: str, resolution: int) -> Tensor:
        """Ones at the pixels drawn."""
        rng = self.random_generator("" if self.shared else name, REGION_STREAM)
        return regions(torch.tensor([self.fraction]), resolution, 0, _torch(rng))


class Irregular(Hole):
    """Strokes of a round brush that goes its own way (see `strokes`), another region for each image.

    Args:
        fraction: of the pixels, above 0 and below 1; exact to the nearest pixel.
        fill, seed: see `Hole`.

    Raises:
        InputError: an option out of range.
    """

    @checked("corruption")
    def __init__(self, fraction: Fraction, fill: Fill, seed: Seed) -> None:
        super().__init__(fill, seed)
        self.fraction = fraction

    def region(self, name: str, resolution: int) -> Tensor:
        """Ones where the brush was."""
        drawn = strokes(self.fraction, resolution, self.random_generator(name, REGION_STREAM))
        return torch.from_numpy(drawn.astype(np.float32))[None, None]


def _torch(rng: np.random.Generator) -> torch.Generator:
    """PyTorch's randomness from NumPy's; of a seed its CPU takes 32 bits."""
    return torch.Generator().manual_seed(int(rng.integers(2**32)))
