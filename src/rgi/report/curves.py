"""Convergence figure: median and quartiles of the objective over images, as an SVG with the colours of the page."""

import io
import re
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

PANEL = (5.4, 3.6)  # size of a figure in inches; a phone shows it at its own size
MAX_POINTS = 240  # points of a curve; more points would only make the page larger
COLOUR_COUNT = 8  # colours of methods on the page; from the ninth method on, colours repeat with dashed lines
# Matplotlib writes placeholder colours. CSS variables of the page replace them, so the figure follows the page's style.
METHOD_COLOURS, SOFT, LINE = [f"#ab000{index}" for index in range(COLOUR_COUNT)], "#ab0010", "#ab0011"
VARIABLES = {colour: f"var(--m{index})" for index, colour in enumerate(METHOD_COLOURS)}
VARIABLES |= {SOFT: "var(--soft)", LINE: "var(--line)"}
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "convergence",
    "font.size": 11,
    "text.color": SOFT,
    "axes.labelcolor": SOFT,
}


@dataclass(frozen=True)
class Curve:
    """The curve of one method.

    Attributes:
        index: position of the method on the page.
        label: name of the method on the page.
        first: median objective at the first iteration.
        last: median objective at the last iteration.
        iterations: number of iterations.
    """

    index: int
    label: str
    first: float
    last: float
    iterations: int


@dataclass(frozen=True)
class Convergence:
    """The convergence figure.

    Attributes:
        svg: figure as an ``<svg>`` element.
        curves: curves of the methods that iterate.
        logarithmic: whether the vertical axis is logarithmic.
    """

    svg: str
    curves: list[Curve]
    logarithmic: bool


def quartiles(histories: list[np.ndarray]) -> pd.DataFrame | None:
    """Quartiles of the objective over images.

    An image that has settled keeps its last value. Otherwise the median would move to the images that still iterate.

    Args:
        histories: objective per iteration (T,) of each image. Values that are not finite repeat the value before.
            Images without a finite first value are left out.

    Returns:
        One row per iteration with the columns lower, median and upper; None for fewer than two iterations.
    """
    table = pd.DataFrame({image: pd.Series(history) for image, history in enumerate(histories)}, dtype=float)
    table = table.where(np.isfinite(table)).ffill().dropna(axis="columns")
    if len(table) < 2 or table.empty:
        return None
    return table.quantile([0.25, 0.5, 0.75], axis="columns").T.set_axis(["lower", "median", "upper"], axis="columns")


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most `MAX_POINTS` evenly spaced rows of a curve, with the first and the last one."""
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, min(MAX_POINTS, len(table))).round().astype(int))]


def convergence(labels: list[str], histories: list[list[np.ndarray]]) -> Convergence | None:
    """Draw the convergence figure. The vertical axis is logarithmic if all values are positive.

    Args:
        labels: names of the methods.
        histories: for each method, the objective per iteration (T,) of each image.

    Returns:
        The figure, or None if no method iterates.
    """
    tables = {index: quartiles(each) for index, each in enumerate(histories)}
    tables = {index: table for index, table in tables.items() if table is not None}
    if not tables:
        return None
    logarithmic = all((table > 0).all(axis=None) for table in tables.values())
    curves = [
        Curve(index, labels[index], float(table["median"].iloc[0]), float(table["median"].iloc[-1]), len(table))
        for index, table in tables.items()
    ]
    with matplotlib.rc_context(SETTINGS):
        return Convergence(to_svg(convergence_figure(tables, logarithmic), "convergence"), curves, logarithmic)


def convergence_figure(tables: dict[int, pd.DataFrame], logarithmic: bool) -> Figure:
    """Draw the median as a line and the quartiles as a band, for each method.

    Args:
        tables: results of `quartiles` by the position of the method on the page.
        logarithmic: whether the vertical axis is logarithmic.
    """
    figure = Figure(figsize=PANEL, layout="constrained")
    axes = figure.add_subplot()
    for index, table in tables.items():
        kept = thinned(table)
        colour, dashes = METHOD_COLOURS[index % COLOUR_COUNT], "-" if index < COLOUR_COUNT else "--"
        axes.fill_between(kept.index, kept["lower"], kept["upper"], color=colour, alpha=0.16, linewidth=0)
        axes.plot(kept.index, kept["median"], dashes, color=colour, linewidth=1.5)
    axes.margins(x=0)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set(xlabel="iteration", ylabel=f"objective{' (logarithmic scale)' if logarithmic else ''}")
    if logarithmic:
        low, high = axes.dataLim.intervaly
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.tick_params(length=0, labelcolor=SOFT)
    axes.spines[:].set_visible(False)
    return figure


def to_svg(figure: Figure, name: str) -> str:
    """Convert a figure to an ``<svg>`` element for the page. Equal figures give equal text.

    Args:
        figure: the figure.
        name: begins all identifiers of the element, because those of two figures on a page must differ.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(["Date", "Creator", "Format", "Type"]))
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace("*{", ".plot *{")  # Matplotlib's style rule would apply to the whole page
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\1{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
