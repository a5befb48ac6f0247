"""Synthetic defects with exact masks: crack, irregular, scratch, large.

The paper uses these four kinds of defect in its BTAD experiment, but the authors did not publish their code. The
functions here are our own. A painter draws a region of 0.5 to 6 % of the image. `paint` then shifts the mean of the
region away from its surroundings. The shift, in standard deviations of the image, sets the difficulty.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field
from scipy import ndimage
from skimage import draw
from torch import Tensor

from rgi.data.corruptions.corruption import Corruption, FillImages
from rgi.errors import InputError
from rgi.validation import Allowed, AsTuple, Positive, Seed, checked, one_of, typed

MIN_AREA, MAX_AREA = 0.005, 0.06  # smallest and largest share of the image
DOWN = np.array([1, 0])
RING_WIDTH = 4  # width in pixels of the ring around a defect


def crack(size: int, rng: Generator) -> np.ndarray:
    """Region (size,size) of a crack: a jagged line with forks, one to two pixels wide at 64 pixels."""
    region = np.zeros((size, size), bool)
    heading = rng.uniform(0, 2 * np.pi)
    start = rng.uniform(0.25, 0.75, 2) * size
    _wander(region, start, heading, rng.uniform(0.35, 0.7) * size, rng, forks=2)
    return _thicken(region)


def _wander(region: np.ndarray, point: np.ndarray, heading: float, length: float, rng: Generator, forks: int) -> None:
    """Draw one branch of a crack and its forks into the region."""
    stride = max(2.0, len(region) / 24)
    for _ in range(int(length / stride)):
        heading += rng.normal(0, 0.45)
        ahead = point + stride * np.array([np.sin(heading), np.cos(heading)])
        _line(region, point, ahead)
        if rng.random() < 0.35:  # a random part of the line is two pixels wide
            _line(region, point + DOWN, ahead + DOWN)
        if forks and rng.random() < 0.2:
            side = heading + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
            _wander(region, ahead, side, 0.4 * length, rng, forks - 1)
        point = ahead


def scratch(size: int, rng: Generator) -> np.ndarray:
    """Region (size,size) of a scratch: one to three parallel, nearly straight strokes."""
    region = np.zeros((size, size), bool)
    heading = rng.uniform(0, np.pi)
    along = np.array([np.sin(heading), np.cos(heading)])
    across = np.array([along[1], -along[0]])
    centre = rng.uniform(0.3, 0.7, 2) * size
    for stroke in range(rng.integers(1, 4)):
        middle = centre + across * stroke * rng.uniform(2.5, 5) * size / 64 + along * rng.normal(0, 0.08) * size
        reach, bow = rng.uniform(0.15, 0.38) * size, rng.normal(0, 0.03) * size
        steps = np.linspace(-1, 1, 9)
        points = [middle + along * reach * s + across * bow * (1 - s * s) for s in steps]
        for one, other in pairwise(points):
            _line(region, one, other)
    return _thicken(region)


def irregular(size: int, rng: Generator) -> np.ndarray:
    """Region (size,size) of a stain with a ragged border: the highest values of a smooth random field plus a bump."""
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), size / 22, mode="wrap")
    rows, columns = np.mgrid[:size, :size]
    centre = rng.uniform(0.25, 0.75, 2) * size
    distance = np.hypot(rows - centre[0], columns - centre[1])
    height = field / field.std() + 4.5 * np.exp(-0.5 * (distance / (0.16 * size)) ** 2)
    area = rng.uniform(0.012, 0.05)
    return height > np.quantile(height, 1 - area)


def large(size: int, rng: Generator) -> np.ndarray:
    """Region (size,size) of a large lump: an ellipse with a wavy outline."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    area = rng.uniform(0.035, 0.055) * size * size
    stretch = rng.uniform(1.0, 1.8)
    radius = np.ones_like(angles)
    for wave in (2, 3, 5):
        radius += rng.normal(0, 0.16 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    radius *= np.sqrt(area / np.pi)
    turn = rng.uniform(0, np.pi)
    along, across = radius * np.cos(angles) * np.sqrt(stretch), radius * np.sin(angles) / np.sqrt(stretch)
    centre = rng.uniform(0.25, 0.75, 2) * size
    rows = centre[0] + along * np.sin(turn) + across * np.cos(turn)
    columns = centre[1] + along * np.cos(turn) - across * np.sin(turn)
    return draw.polygon2mask((size, size), np.stack([rows, columns], 1))


PAINTERS: dict[str, Callable[[int, Generator], np.ndarray]] = {
    painter.__name__: painter for painter in (crack, irregular, scratch, large)
}
Kinds = Annotated[
    tuple[one_of(*PAINTERS), ...], Field(min_length=1), AsTuple, Allowed(f"a list of some of {', '.join(PAINTERS)}")
]
Contrasts = Annotated[tuple[Positive, Positive], AsTuple, Allowed("two numbers above 0, like [1,3]")]


def paint(clean: np.ndarray, kind: str, contrast: float, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paint a defect on a clean image.

    The texture inside the region is scaled by a random factor between 0.2 and 1. The region is then shifted until its
    mean differs from the mean of the surrounding ring by ``contrast``. The sign of the difference is random. Values
    stay in [-1, 1].

    Args:
        clean: clean image (C,H,W) in [-1, 1], H = W.
        kind: kind of defect, a key of `PAINTERS`.
        contrast: difference between the means, above 0, in standard deviations of the clean image.
        rng: source of all random numbers.

    Returns:
        The corrupted image (C,H,W) and the true mask (1,H,W) in {0, 1}, both float32.
    """
    region = _region(clean.shape[-1], kind, rng)
    ring = ndimage.binary_dilation(region, iterations=RING_WIDTH) & ~region
    inside, around = clean[:, region].astype(np.float64), clean[:, ring].mean(1, keepdims=True)
    kept = rng.uniform(0.2, 1.0) * (inside - inside.mean(1, keepdims=True))
    grain = rng.normal(0, 0.1 * clean.std(), kept.shape)
    target = around + rng.choice([-1, 1]) * contrast * clean.std()
    if abs(target).max() > 0.95:  # too close to the end of the value range: use the other sign
        target = 2 * around - target
    painted = target + kept + grain
    for _ in range(8):  # clipping changes the mean, so the mean is corrected again
        painted = np.clip(painted, -1, 1)
        painted += target - painted.mean(1, keepdims=True)
    observed = clean.copy()
    observed[:, region] = np.clip(painted, -1, 1)
    return observed.astype(np.float32), region[None].astype(np.float32)


def _region(size: int, kind: str, rng: Generator) -> np.ndarray:
    """Draw regions until the area is between `MIN_AREA` and `MAX_AREA`; border pixels of the image stay free."""
    while True:
        region = PAINTERS[kind](size, rng)
        region[[0, -1], :] = region[:, [0, -1]] = False
        if MIN_AREA <= region.mean() <= MAX_AREA:
            return region


def _thicken(region: np.ndarray) -> np.ndarray:
    """Widen lines in large images; lines are one pixel wide in images below 128 pixels."""
    layers = len(region) // 64 - 1
    return ndimage.binary_dilation(region, iterations=layers) if layers > 0 else region


def _line(region: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    rows, columns = draw.line(*np.rint(start).astype(int), *np.rint(end).astype(int))
    inside = (rows >= 0) & (rows < len(region)) & (columns >= 0) & (columns < len(region))
    region[rows[inside], columns[inside]] = True


class Defects(Corruption):
    """Painted defects; each image appears once with each kind of defect.

    Args:
        kinds: kinds of defect, keys of `PAINTERS`.
        contrast: lowest and highest difference between the mean of a defect and the mean of its surroundings, in
            standard deviations of the image.
        seed: seed of all random choices.

    Raises:
        InputError: a kind is unknown or repeated, or the contrast is not two ascending positive numbers.
    """

    @checked("corruption")
    def __init__(self, kinds: Kinds, contrast: Contrasts, seed: Seed) -> None:
        super().__init__(seed)
        if len(set(kinds)) < len(kinds):
            raise InputError(f"corruption.kinds={typed(kinds)}: has a kind twice; name each kind once")
        if contrast[0] > contrast[1]:
            raise InputError(f"corruption.contrast={typed(contrast)}: must be in order; write the lower number first")
        self.kinds, self.contrast = kinds, contrast

    def __call__(self, clean: Tensor, name: str, fill_images: FillImages) -> tuple[Tensor, Tensor]:
        """Paint the kind of defect at the beginning of the name, see `Corruption.__call__`."""
        rng = self.random_generator(name)
        observed, mask = paint(clean[0].numpy(), name.partition("/")[0], rng.uniform(*self.contrast), rng)
        return torch.from_numpy(observed)[None], torch.from_numpy(mask)[None]


def paint_images(clean: Tensor, contrast: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Paint one defect on each image, of one kind after the other.

    Args:
        clean: clean images (B,C,H,W) in [-1,1], on the CPU.
        contrast: see `Defects`.

    Returns:
        The corrupted images (B,C,H,W) and the true masks (B,1,H,W) in {0,1}.
    """
    kinds, images = tuple(PAINTERS), clean.split(1)
    defects = Defects(kinds, contrast, seed=0)
    names = (f"{kinds[i % len(kinds)]}/{i}" for i in range(len(images)))
    painted = [defects(image, name, lambda *_: clean) for image, name in zip(images, names, strict=True)]
    observed, masks = zip(*painted, strict=True)
    return torch.cat(observed), torch.cat(masks)
