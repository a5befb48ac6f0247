"""Figure of the recovery study: errors over the corrupted fraction, and errors over λ."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STROKES = {"basin": "o--", "pool": "o-"}
TITLES = {
    "rmse": "RMSE of the restored image, mean over images",
    "success_rate": "share of recovered images",
    "mask_error": "|M - true mask|, mean over pixels and images",
}


def draw(
    file: Path, table: pd.DataFrame, fraction: float, penalty: float, continuation_from: float, success_rmse: float
) -> None:
    """Write the figure.

    Args:
        file: file that the figure is written to.
        table: result of `study.long_form`.
        fraction: corrupted fraction of the cells with different λ.
        penalty: λ of the cells with different fractions.
        continuation_from: first λ of a continuation.
        success_rmse: RMSE below which an image counts as recovered.
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
        axes.set(xlabel="fraction of corrupted pixels", title=TITLES[metric])
    over_penalty = table[~no_mask & (table["fraction"] == fraction)]
    curves = [
        ("RGI, λ fixed", "C0", ~over_penalty["continuation"]),
        (f"RGI, λ decreases from {continuation_from:g}", "C3", over_penalty["continuation"]),
    ]
    for axes, metric in zip(below[:2], ("rmse", "mask_error"), strict=True):
        _plot(axes, over_penalty, "lambda", metric, curves)
        axes.set(xscale="log", yscale="log", xlabel="λ (decreasing)")
        axes.set_title(f"{TITLES[metric]}\n{fraction:.0%} of the pixels corrupted")
        axes.invert_xaxis()
    above[0].set_yscale("log")
    for axes in (above[0], below[0]):
        _level(axes, success_rmse, f"recovered: < {success_rmse:g}")
    _level(below[1], 1 - fraction, "M = 1 everywhere")
    _level(below[1], fraction, "M = 0 everywhere")
    for row in (above, below):
        row[2].axis("off")
        row[2].legend(*row[0].get_legend_handles_labels(), loc="center left", borderaxespad=0, frameon=False)
    figure.savefig(file)


def _plot(axes: Axes, table: pd.DataFrame, over: str, metric: str, curves: list[tuple[str, str, pd.Series]]) -> None:
    """Draw a metric over a column. A curve has a label, a colour and a filter of rows, and each start has a stroke."""
    for label, colour, chosen in curves:
        for start, stroke in STROKES.items():
            rows = table[chosen & (table["metric"] == metric) & (table["start"] == start)].sort_values(over)
            axes.plot(rows[over], rows["value"], stroke, color=colour, label=f"{label},\nfrom the {start}")
    axes.grid(alpha=0.3)


def _level(axes: Axes, value: float, text: str) -> None:
    """Draw a horizontal line with a text."""
    axes.axhline(value, color="grey", linewidth=0.8)
    place = {"xycoords": ("axes fraction", "data"), "xytext": (0, 2), "textcoords": "offset points"}
    axes.annotate(text, (0.01, value), color="dimgrey", fontsize=8, **place)
