"""Free-form brush strokes: the regions of irregular holes."""

from collections.abc import Iterator

import numpy as np


def strokes(fraction: float, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """Random free-form strokes of a round brush: (H,W), True = covered by a stroke.

    Each stroke begins at a random uncovered pixel. The brush moves in steps of half its radius. The direction drifts
    and sometimes jumps. At its last position, the brush covers only the missing pixels, beginning at its centre.

    Args:
        fraction: share of the pixels that the strokes cover, exact to the nearest pixel.
        resolution: height and width in pixels.
        rng: source of all random numbers.
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
    """Pixels (N,2) within a radius of (0,0), sorted by distance."""
    reach = int(radius)
    pixels = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    distance = np.hypot(*pixels.T)
    order = np.argsort(distance, kind="stable")
    return pixels[order[: (distance <= radius).sum()]]


def _stroke(point: np.ndarray, step: float, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Positions (row, column) of the brush in pixels, until the stroke ends or leaves the image."""
    heading, drift = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.3)
    for _ in range(max(1, int(size * rng.uniform(0.2, 1.0) / step))):
        yield point
        heading += rng.choice([-1, 1]) * rng.uniform(0.6, 2.2) if rng.random() < 0.05 else rng.normal(0, drift)
        point = point + step * np.array([np.sin(heading), np.cos(heading)])
        if point.min() < 0 or point.max() > size - 1:
            return
