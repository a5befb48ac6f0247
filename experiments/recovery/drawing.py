"""The figure of the recovery study: errors over the corrupted fraction, and over λ at one fraction."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STROKES = {"basin": "o--", "pool": "o-"}
TITLES = {
    "rmse": "RMSE of the restored image, mean over images",
    "success_rate": "share of images recovered",
    "mask_error": "|M - true mask|, mean over pixels and images",
}


def draw(file: Path, table: pd.DataFrame, fraction: float, penalty: float, begin: float, success: float) -> None:
    """Write the figure.

    Args:
        file: of the figure.
        table: long form, as `study.long_form` makes it.
        fraction, penalty: where the two lines of the grid cross.
        begin: the λ that a continuation begins at.
        success: the RMSE below which an image counts as recovered.
    """
    figure = Figure(figsize=(12.5, 8), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 3, width_ratios=(1, 1, 0.45))
    no_mask, fixed = table["lambda"].isna(), ~table["continuation"]
    over_fraction = table[(no_mask | (table["lambda"] == penalty)) & fixed]
    curves = [
        (f"RGI, λ = {penalty:g}", "C0", over_fraction["method"] == "rgi"),
        ("plain L1", "C2", over_fraction["method"] == "l1"),
        ("plain L2", "C1", over_fraction["method"] == "l2"),
    ]
    for axes, metric in zip(above[:2], ("rmse", "success_rate"), strict=True):
        _plot(axes, over_fraction, "fraction", metric, curves)
        axes.set(xlabel="fraction of the pixels that is corrupted", title=TITLES[metric])
    over_penalty = table[~no_mask & (table["fraction"] == fraction)]
    curves = [
        ("RGI, λ fixed", "C0", ~over_penalty["continuation"]),
        (f"RGI, λ falls from {begin:g}", "C3", over_penalty["continuation"]),
    ]
    for axes, metric in zip(below[:2], ("rmse", "mask_error"), strict=True):
        _plot(axes, over_penalty, "lambda", metric, curves)
        axes.set(xscale="log", yscale="log", xlabel="λ, towards 0")
        axes.set_title(f"{TITLES[metric]}\n{fraction:.0%} of the pixels corrupted")
        axes.invert_xaxis()
    above[0].set_yscale("log")
    for axes in (above[0], below[0]):
        _level(axes, success, f"recovered: < {success:g}")
    _level(below[1], 1 - fraction, "M = 1 everywhere")
    _level(below[1], fraction, "M = 0 everywhere")
    for row in (above, below):
        row[2].axis("off")
        row[2].legend(*row[0].get_legend_handles_labels(), loc="center left", borderaxespad=0, frameon=False)
    figure.savefig(file)


def _plot(axes: Axes, table: pd.DataFrame, over: str, metric: str, curves: list[tuple[str, str, pd.Series]]) -> None:
    """A metric over a column; each curve (label, colour, which rows) has a stroke for each start."""
    for label, colour, chosen in curves:
        for start, stroke in STROKES.items():
            rows = table[chosen & (table["metric"] == metric) & (table["start"] == start)].sort_values(over)
            axes.plot(rows[over], rows["value"], stroke, color=colour, label=f"{label},\nfrom the {start}")
    axes.grid(alpha=0.3)


def _level(axes: Axes, value: float, text: str) -> None:
    axes.axhline(value, color="grey", linewidth=0.8)
    place = {"xycoords": ("axes fraction", "data"), "xytext": (0, 2), "textcoords": "offset points"}
    axes.annotate(text, (0.01, value), color="dimgrey", fontsize=8, **place)
