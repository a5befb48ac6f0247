"""The convergence figure: the median objective over images, with its quartiles, as SVG paths."""

import math
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 1000, 360  # units of the paths; the page stretches them to its own width
POINTS = 240  # of a curve, at most


@dataclass(frozen=True)
class Curve:
    """One method: its position among the runs, the paths, and what the median starts and ends at."""

    index: int
    label: str
    line: str
    band: str
    first: float
    last: float
    iterations: int


@dataclass(frozen=True)
class Figure:
    """Curves on shared axes; ticks are (position in percent from the left or top, text)."""

    curves: list[Curve]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    logarithmic: bool
    size: tuple[int, int] = (WIDTH, HEIGHT)


def settle(history: np.ndarray) -> np.ndarray:
    """(T,) with every non-finite value replaced by the last finite one before it (NaN if there is none)."""
    finite = np.isfinite(history)
    last = np.maximum.accumulate(np.where(finite, np.arange(len(history)), -1))
    return np.where(last >= 0, history[last], np.nan)


def quartiles(histories: list[np.ndarray]) -> np.ndarray | None:
    """(3,T) lower quartile, median and upper quartile over images; None for fewer than two steps.

    An image that has settled keeps its last value: the hard images that go on must not move the median.
    """
    length = max((len(history) for history in histories), default=0)
    padded = np.full((len(histories), length), np.nan)
    for row, history in zip(padded, histories, strict=True):
        row[: len(history)] = history
    if length < 2:
        return None
    filled = np.stack([settle(row) for row in padded])
    filled = filled[np.isfinite(filled[:, 0])]
    return np.quantile(filled, (0.25, 0.5, 0.75), axis=0) if len(filled) else None


def convergence(labels: list[str], histories: list[list[np.ndarray]]) -> Figure | None:
    """The figure for one list of objectives (T,) per method; None if no method iterates.

    The vertical axis is logarithmic if every value is positive.
    """
    found = {index: quartiles(each) for index, each in enumerate(histories)}
    found = {index: each for index, each in found.items() if each is not None}
    if not found:
        return None
    lowest, highest = (float(pick([pick(each) for each in found.values()])) for pick in (np.min, np.max))
    logarithmic = lowest > 0
    low, high = (math.log10(lowest), math.log10(highest)) if logarithmic else (lowest, highest)
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin
    longest = max(each.shape[1] for each in found.values())

    def place(values: np.ndarray) -> np.ndarray:
        levels = np.log10(values) if logarithmic else values
        return (1 - (levels - low) / (high - low)) * HEIGHT

    curves = [curve(index, labels[index], each, place(each), longest) for index, each in found.items()]
    levels = decades(low, high) if logarithmic else steps(low, high, 5)
    y_ticks = [(float(place(np.array(level))) / HEIGHT * 100, short(level)) for level in levels]
    whole = [step for step in steps(0, longest - 1, 6) if step == round(step)]
    x_ticks = [(step / (longest - 1) * 100, short(step)) for step in whole]
    return Figure(curves, x_ticks, y_ticks, logarithmic)


def curve(index: int, label: str, values: np.ndarray, heights: np.ndarray, longest: int) -> Curve:
    length = values.shape[1]
    kept = np.unique(np.linspace(0, length - 1, min(POINTS, length)).round().astype(int))
    lower, middle, upper = (
        [f"{step / (longest - 1) * WIDTH:.1f} {height[step]:.1f}" for step in kept] for height in heights
    )
    line, band = "M" + "L".join(middle), "M" + "L".join(lower + upper[::-1]) + "Z"
    return Curve(index, label, line, band, float(values[1, 0]), float(values[1, -1]), length)


def steps(low: float, high: float, about: int) -> list[float]:
    """Round numbers in [low, high], a little more or less than ``about`` of them."""
    raw = (high - low) / about
    size = 10 ** math.floor(math.log10(raw))
    size = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    return [index * size for index in range(math.ceil(low / size), math.floor(high / size) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Numbers 1, 2, 5 times a power of ten between 10^low and 10^high, at most seven."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    fine = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    coarse = [10.0**power for power in powers]
    for levels in (fine, coarse, coarse[::2], coarse[::4]):
        inside = [level for level in levels if low <= math.log10(level) <= high]
        if len(inside) <= 7:
            break
    return inside


def short(value: float) -> str:
    """A tick's text: plain up to a million, powers of ten beyond."""
    return (
        f"{value:g}"
        if value == 0 or 1e-3 <= abs(value) < 1e6
        else f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    )
