"""Holes in images, as inpainting fills them: where they are (a class each) and what is in them (`fill`)."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgi.data.corrupted import Corruption, Others
from rgi.data.corruption import CONTENTS, fill, regions
from rgi.data.files import images_by_stem
from rgi.data.images import check_image, check_mask, each, read_mask, read_pixels
from rgi.errors import InputError

REGION, CONTENT = 0, 1  # uses of an image's randomness


class Hole(Corruption):
    """A region of the image has another content; the rest is untouched.

    Args:
        fill: one of `rgi.data.corruption.CONTENTS`; ``image`` takes it from a validation image, so that it does
            not depend on the other test images.
        seed: see `Corruption`.

    Raises:
        InputError: an unknown content.
    """

    def __init__(self, fill: str, seed: int) -> None:
        super().__init__(seed)
        if fill not in CONTENTS:
            raise InputError(f"corruption.fill={fill}: unknown; one of {', '.join(CONTENTS)}")
        self.fill = fill

    @abstractmethod
    def region(self, name: str, resolution: int) -> Tensor:
        """The mask (1,1,H,W) of an image, 1 in the hole."""

    def check(self, names: Sequence[str], resolution: int, others: Others) -> None:
        """Holes have an inside and an outside, and there are other images where they are needed.

        Raises:
            InputError: one of these does not hold.
        """
        if self.fill == "image":
            others()
        covered = self.region(names[0], resolution).mean()
        if covered in (0, 1):
            much = "no" if covered == 0 else "every"
            raise InputError(f"corruption.fraction: covers {much} pixel of {resolution}x{resolution}; choose another")

    def __call__(self, clean: Tensor, name: str, others: Others) -> tuple[Tensor, Tensor]:
        """Cut the hole and fill it."""
        mask, rng = self.region(name, clean.shape[-1]), self.randomness(name, CONTENT)
        other = _another(clean, others, rng) if self.fill == "image" else None
        return fill(clean, mask, self.fill, _torch(rng), other), mask


def _another(clean: Tensor, others: Others, rng: np.random.Generator) -> Tensor:
    """A random image (1,C,H,W) of the others that is not the clean one: one's own images may be in both parts."""
    images = others()
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

    def __init__(self, fraction: float, centre: float, fill: str, seed: int) -> None:
        super().__init__(fill, seed)
        self.fraction = _checked("fraction", fraction)
        self.centre = _checked("centre", centre)
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

    def __init__(self, fraction: float, shared: bool, fill: str, seed: int) -> None:
        super().__init__(fill, seed)
        self.fraction, self.shared = _checked("fraction", fraction), _checked_bool("shared", shared)

    def region(self, name: str, resolution: int) -> Tensor:
        """Ones at the pixels drawn."""
        rng = self.randomness("" if self.shared else name, REGION)
        return regions(torch.tensor([self.fraction]), resolution, 0, _torch(rng))


class Irregular(Hole):
    """Strokes of a round brush that goes its own way (see `strokes`), others for each image.

    Args:
        fraction: of the pixels, above 0 and below 1; exact to the nearest pixel.
        fill, seed: see `Hole`.

    Raises:
        InputError: an option out of range.
    """

    def __init__(self, fraction: float, fill: str, seed: int) -> None:
        super().__init__(fill, seed)
        self.fraction = _checked("fraction", fraction)

    def region(self, name: str, resolution: int) -> Tensor:
        """Ones where the brush was."""
        drawn = strokes(self.fraction, resolution, self.randomness(name, REGION))
        return torch.from_numpy(drawn.astype(np.float32))[None, None]


class MaskFolder(Hole):
    """Holes from files, such as NVIDIA's irregular ones (Liu et al., ECCV 2018); an image's name chooses its file.

    Args:
        masks: the folder of black pictures with white holes, resized to the images' size, aspect not kept.
        first, last: take the sorted files from number ``first`` up to, not including, ``last``; None is the rest.
        touched: the hole has every pixel that a bicubically resized mask is not 0 in (as published), which widens
            it by about a pixel; otherwise those of which it covers half.
        fill, seed: see `Hole`.

    Raises:
        InputError: an option out of range.
    """

    def __init__(self, masks: str, first: int, last: int | None, touched: bool, fill: str, seed: int) -> None:
        super().__init__(fill, seed)
        if type(first) is not int or first < 0:
            raise InputError(f"corruption.first={first}: must be a whole number of at least 0")
        if last is not None and (type(last) is not int or last <= first):
            raise InputError(f"corruption.last={last}: must be a whole number above corruption.first={first}, or null")
        self.masks, self.first, self.last = str(masks), first, last
        self.touched = _checked_bool("touched", touched)

    @cached_property
    def files(self) -> list[Path]:
        """The masks to choose from, sorted by name.

        Raises:
            InputError: no such folder, no pictures in it, or fewer than asked for.
        """
        found = list(images_by_stem(self.masks, f"corruption.masks={self.masks}").values())
        least = self.first + 1 if self.last is None else self.last
        if len(found) < least:
            raise InputError(
                f"corruption.masks={self.masks}: holds {len(found)} masks, corruption.first and corruption.last ask "
                f"for {least}; add the others, or set corruption.first=0 corruption.last=null"
            )
        return found[self.first : self.last]

    def file(self, name: str) -> Path:
        """The mask of an image."""
        return self.files[self.randomness(name, REGION).integers(len(self.files))]

    def region(self, name: str, resolution: int) -> Tensor:
        """The mask, read and resized."""
        return self._read(self.file(name), resolution)

    def _read(self, path: Path, resolution: int) -> Tensor:
        if self.touched:
            return torch.from_numpy(read_pixels(path, 1, resolution) > 0)[None].float()
        return read_mask(path, resolution)[None]

    def check(self, names: Sequence[str], resolution: int, others: Others) -> None:
        """Open every mask that is used.

        Raises:
            InputError: what `check_mask` finds, or a mask without hole, or without anything else.
        """

        def open(path: Path) -> None:
            check_mask(path, check_image(path))
            covered = self._read(path, resolution).mean()
            if covered in (0, 1):
                much = "no" if covered == 0 else "every"
                raise InputError(f"{path}: covers {much} pixel of {resolution}x{resolution}; remove it")

        used = sorted({self.file(name) for name in names})
        for _ in each(open, used, "checking masks"):
            pass
        super().check(names, resolution, others)


def strokes(fraction: float, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """Free-form strokes (H,W), True where a brush was, that cover a fraction of the pixels, exact to the nearest one.

    Each begins at a pixel that is still intact and goes on, in steps of half the brush's radius, in a direction that
    drifts and now and then jumps. The last touch takes only those pixels next to its middle that are still asked for.
    """
    drawn = np.zeros(resolution**2, bool)
    missing = round(fraction * drawn.size)
    while missing:
        radius = max(0.75, resolution * rng.uniform(0.015, 0.06))
        brush = _disc(radius)
        start = np.array(divmod(rng.choice(np.flatnonzero(~drawn)), resolution), float)
        for point in _stroke(start, radius / 2, resolution, rng):
            pixels = np.rint(point).astype(int) + brush
            inside = ((pixels >= 0) & (pixels < resolution)).all(1)
            touched = pixels[inside] @ (resolution, 1)
            touched = touched[~drawn[touched]][:missing]
            drawn[touched] = True
            missing -= len(touched)
    return drawn.reshape(resolution, resolution)


def _disc(radius: float) -> np.ndarray:
    """The pixels (N,2) within a radius of (0,0), from the middle outwards."""
    reach = int(radius)
    pixels = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    distance = np.hypot(*pixels.T)
    order = np.argsort(distance, kind="stable")
    return pixels[order[: (distance <= radius).sum()]]


def _stroke(point: np.ndarray, step: float, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows and columns (2,) that one stroke comes by until it ends or leaves the square, in pixels."""
    heading, drift = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.3)
    for _ in range(max(1, int(size * rng.uniform(0.2, 1.0) / step))):
        yield point
        heading += rng.choice([-1, 1]) * rng.uniform(0.6, 2.2) if rng.random() < 0.05 else rng.normal(0, drift)
        point = point + step * np.array([np.sin(heading), np.cos(heading)])
        if point.min() < 0 or point.max() > size - 1:
            return


def _torch(rng: np.random.Generator) -> torch.Generator:
    """PyTorch's randomness from NumPy's; of a seed its CPU takes 32 bits."""
    return torch.Generator().manual_seed(int(rng.integers(2**32)))


def _checked(option: str, value: float) -> float:
    if type(value) not in (int, float) or not 0 < value < 1:
        raise InputError(f"corruption.{option}={value}: must be a number above 0 and below 1")
    return float(value)


def _checked_bool(option: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"corruption.{option}={value}: must be true or false")
    return value
