"""The convergence figure: the median objective over images, with its quartiles, as an SVG in the page's colours."""

import io
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

POINTS = 240  # of a curve, at most: more would only make the page larger
COLOURS = 8  # of methods on the page; from the ninth method on they repeat, dashed
# Matplotlib writes these colours, and the page's variables take their places, so that the figure follows its style.
METHODS, SOFT, LINE = [f"#ab000{index}" for index in range(COLOURS)], "#ab0010", "#ab0011"
VARIABLES = {colour: f"var(--m{index})" for index, colour in enumerate(METHODS)}
VARIABLES |= {SOFT: "var(--soft)", LINE: "var(--line)"}
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "convergence", "text.color": SOFT, "axes.labelcolor": SOFT}


@dataclass(frozen=True)
class Curve:
    """One method: its position among the methods, and what its median starts and ends at."""

    index: int
    label: str
    first: float
    last: float
    iterations: int


@dataclass(frozen=True)
class Convergence:
    """The figure as an ``<svg>`` element, and what its curves say."""

    svg: str
    curves: list[Curve]
    logarithmic: bool


def quartiles(histories: list[np.ndarray]) -> pd.DataFrame | None:
    """Lower quartile, median and upper quartile over images, a row per iteration; None for fewer than two of them.

    An image that has settled keeps its last value: the hard images that go on must not move the median.
    """
    table = pd.DataFrame({image: pd.Series(history) for image, history in enumerate(histories)}, dtype=float)
    table = table.where(np.isfinite(table)).ffill().dropna(axis="columns")
    if len(table) < 2 or table.empty:
        return None
    return table.quantile([0.25, 0.5, 0.75], axis="columns").T.set_axis(["lower", "median", "upper"], axis="columns")


def convergence(labels: list[str], histories: list[list[np.ndarray]]) -> Convergence | None:
    """The figure for one list of objectives (T,) per method; None if no method iterates.

    The vertical axis is logarithmic if every value is positive.
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
        return Convergence(as_svg(convergence_figure(tables, logarithmic)), curves, logarithmic)


def convergence_figure(tables: dict[int, pd.DataFrame], logarithmic: bool) -> Figure:
    """A line and a band per method, by the method's position."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    axes = figure.add_subplot()
    for index, table in tables.items():
        kept = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(POINTS, len(table))).round().astype(int))]
        colour, dashes = METHODS[index % COLOURS], "-" if index < COLOURS else "--"
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


def as_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element for the page; the same figure gives the same text."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(["Date", "Creator", "Format", "Type"]))
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace("*{", ".plot *{")  # matplotlib's rule would hold for the whole page
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
