"""ROC and precision-recall curves of pixels and of images, as figures with the colours of the page."""

from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from rgi.report.curves import COLOUR_COUNT, LINE, MAX_POINTS, METHOD_COLOURS, PANEL, SETTINGS, SOFT, to_svg

Levels = tuple[np.ndarray, np.ndarray]  # numbers of positives and negatives with each score, in ascending order of it


@dataclass(frozen=True)
class Plot:
    """A figure of the page.

    Attributes:
        title: heading of the figure.
        svg: figure as an ``<svg>`` element.
    """

    title: str
    svg: str


@dataclass(frozen=True)
class Rates:
    """Rates at each threshold, from the highest threshold down.

    Attributes:
        false_positive: share of the negatives at or above the threshold, beginning with 0.
        recall: share of the positives at or above the threshold, beginning with 0.
        precision: share of positives among all at or above the threshold; its first value repeats the second.
        positives: share of positives among all, which is the precision by chance.
    """

    false_positive: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    positives: float


def image_levels(scores: np.ndarray, defective: list[bool | None]) -> Levels:
    """Numbers of defective and of clean images with each score.

    Args:
        scores: score of each image; images without a finite score are left out.
        defective: whether each image has a defect; images where this is unknown (None) are left out.
    """
    known = np.array([each is not None for each in defective], bool) & np.isfinite(scores)
    labels = np.array([bool(each) for each in defective], bool)[known]
    values, level = np.unique(scores[known], return_inverse=True)
    return np.bincount(level[labels], minlength=len(values)), np.bincount(level[~labels], minlength=len(values))


def rates(levels: Levels) -> Rates | None:
    """Rates at all thresholds; None if one of the two classes is missing."""
    positives, negatives = (each[::-1].astype(float).cumsum() for each in levels)
    if not len(positives) or not positives[-1] or not negatives[-1]:
        return None
    precision = positives / (positives + negatives)
    return Rates(
        np.append(0, negatives / negatives[-1]),
        np.append(0, positives / positives[-1]),
        np.append(precision[0], precision),
        positives[-1] / (positives[-1] + negatives[-1]),
    )


def rate_plots(of: str, levels: list[Levels]) -> list[Plot]:
    """ROC and precision-recall curves of all methods; empty if no method has both classes.

    Args:
        of: what is ranked: "pixels" or "images".
        levels: counts of each method.
    """
    found = {index: curve for index, each in enumerate(levels) if (curve := rates(each)) is not None}
    if not found:
        return []
    chance = next(iter(found.values())).positives
    with matplotlib.rc_context(SETTINGS):
        roc = rate_figure({i: (each.false_positive, each.recall) for i, each in found.items()}, (0, 1))
        roc.axes[0].set(xlabel="false-positive rate", ylabel="recall (true-positive rate)")
        recall = rate_figure({i: (each.recall, each.precision) for i, each in found.items()}, (chance, chance))
        recall.axes[0].set(xlabel="recall", ylabel="precision")
        return [
            Plot(f"ROC, {of}", to_svg(roc, f"roc-{of}")),
            Plot(f"Precision and recall, {of}", to_svg(recall, f"recall-{of}")),
        ]


def rate_figure(curves: dict[int, tuple[np.ndarray, np.ndarray]], chance: tuple[float, float]) -> Figure:
    """Figure of curves in the unit square.

    Args:
        curves: horizontal and vertical values by the position of the method on the page.
        chance: vertical values of the line by chance at 0 and at 1.
    """
    figure = Figure(figsize=PANEL)
    axes = figure.add_axes((0.13, 0.14, 0.84, 0.83))
    axes.plot([0, 1], chance, "--", color=SOFT, linewidth=0.8)
    for index, (x, y) in curves.items():
        kept = thinned(x, y)
        dashes = "-" if index < COLOUR_COUNT else "--"
        axes.plot(x[kept], y[kept], dashes, color=METHOD_COLOURS[index % COLOUR_COUNT], linewidth=1.5)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(color=LINE, linewidth=0.7)
    axes.tick_params(length=0, labelcolor=SOFT)
    axes.spines[:].set_visible(False)
    return figure


def thinned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Positions of at most `MAX_POINTS` points that are evenly spaced along a curve, with its first and last."""
    if len(x) <= MAX_POINTS:
        return np.arange(len(x))
    way = np.append(0, (np.abs(np.diff(x)) + np.abs(np.diff(y))).cumsum())
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], MAX_POINTS)).clip(0, len(x) - 1))
