"""Free-form brush strokes, as the regions of irregular holes."""

from collections.abc import Iterator

import numpy as np


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
