"""A benchmark's table as Markdown, LaTeX and HTML: mean and spread over seeds, bold where the spread allows.

Beside it a figure of each set's main score, and on the page the same images under every method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from rgi.evaluation.results import load_result
from rgi.report.methods import label
from rgi.report.page import template
from rgi.report.pictures import data_uri, heat, heat_scale, photograph
from rgi.report.tables import METRICS, MISSING, MarkedTable, fixed

SHOWN_IMAGES = 6  # per set, under every method
DETECTION, RESTORATION = "standard/pixel_auroc", "standard/psnr"  # what the figure shows of defects, and of holes
ACROSS = 3  # sets in a row of the figure
SET = ["dataset", "category", "corruption"]  # the columns that say what a method was run on
SIGNS = {"±": r"$\pm$", MISSING: "--", "\u2009": r"\,", "·": r"$\cdot$"}  # as LaTeX writes them
Place = tuple[str, ...]  # the values of `SET`


@dataclass(frozen=True)
class SideBySide:
    """Pictures of some images: per row the image's name and its pictures, of which the first two are of no method."""

    methods: list[str]
    rows: list[tuple[str, list[str | None]]]


def write_benchmark(
    folder: Path,
    name: str,
    scores: pd.DataFrame,
    failed: list[dict[str, Any]],
    results: dict[Place, dict[str, Path]],
) -> Path:
    """Write table.md, table.tex, table.html and figure.png; returns the page.

    Args:
        folder: of the benchmark.
        name: of the benchmark.
        scores: a row per score, with the columns dataset, category, corruption, method, metric
            (``<protocol>/<metric>``), and over the seeds its mean, its spread and how many seeds there are.
        failed: experiment, seed and reason of each row that could not be run.
        results: of each set the folders of the methods' results, on the same images.
    """
    tables = benchmark_tables(scores)
    (folder / "table.md").write_text(markdown(tables, failed))
    (folder / "table.tex").write_text(latex(tables, failed))
    if tables:
        score_figure(scores).savefig(folder / "figure.png", dpi=110)
    galleries = {title(place): side_by_side(each) for place, each in results.items()}
    page = folder / "table.html"
    page.write_text(template("benchmark.html").render(name=name, tables=tables, failed=failed, galleries=galleries))
    return page


def title(place: Place) -> str:
    """A set in words."""
    return " · ".join(part for part in place if part)


def benchmark_tables(scores: pd.DataFrame) -> dict[str, MarkedTable]:
    """A table per set, by its title; with a row per method and a column per metric that we know."""
    return {title(place): set_table(rows) for place, rows in scores.groupby(SET, sort=False)}


def set_table(scores: pd.DataFrame) -> MarkedTable:
    """The table of one set."""
    methods = scores["method"].unique()
    names = scores["metric"].str.removeprefix("standard/")
    texts, best = (pd.DataFrame(index=pd.Index(map(label, methods))) for _ in range(2))
    for name, metric in METRICS.items():
        if not (names == name).any():
            continue
        column = scores[names == name].set_index("method").reindex(methods)
        column = column.where(np.isfinite(column["mean"]))
        means = column["mean"].map(metric.show)
        spreads = zip(means, column["spread"], column["seeds"], strict=True)
        texts[metric.label] = [with_spread(*each, metric.show) for each in spreads]
        # Nobody would believe that one of two is better whose means look the same.
        best[metric.label] = (clearly_best(column, metric.better) & ~means.duplicated(keep=False)).to_numpy()
    return MarkedTable(texts, best)


def with_spread(mean: str, spread: float, seeds: float, show: Callable[[float], str]) -> str:
    """A mean that is shown already, and the spread with as many decimals; a single seed has no spread to show."""
    if seeds < 2 or mean == MISSING:
        return mean
    show = show if "e" in mean else fixed(len(mean.partition(".")[2]))
    return f"{mean} ± {show(spread)}"


def clearly_best(scores: pd.DataFrame, better: int) -> pd.Series:
    """Whose interval of mean ± spread lies beyond all others'. With one seed nobody's spread is known, and none is.

    Args:
        scores: mean, spread and seeds of each method, NaN where it has no such score.
        better: +1 if higher is better, -1 if lower is, 0 if it ranks nothing.
    """
    known = scores.dropna(subset="mean")
    if not better or len(known) < 2:
        return pd.Series(False, scores.index)
    means, spreads = known["mean"].to_numpy(), known["spread"].to_numpy()
    beyond = better * np.subtract.outer(means, means) > np.add.outer(spreads, spreads)
    np.fill_diagonal(beyond, True)
    return (beyond.all(axis=1) & (known["seeds"] > 1)).reindex(scores.index, fill_value=False)


def score_figure(scores: pd.DataFrame) -> Figure:
    """A panel per set: mean and spread of its main score, a line per method."""
    sets = list(scores.groupby(SET, sort=False))
    across, down = min(ACROSS, len(sets)), -(-len(sets) // ACROSS)
    most = max(rows["method"].nunique() for _, rows in sets)
    figure = Figure(figsize=(4.2 * across, (0.8 + 0.27 * most) * down), layout="constrained")
    for position, (place, rows) in enumerate(sets, start=1):
        main = DETECTION if place[2] in ("", "defects") else RESTORATION
        shown = rows[rows["metric"] == main]
        axis = figure.add_subplot(down, across, position)
        axis.errorbar(shown["mean"], range(len(shown)), xerr=shown["spread"], fmt="o", capsize=3)
        axis.set_yticks(range(len(shown)), [label(method) for method in shown["method"]])
        axis.invert_yaxis()
        axis.grid(alpha=0.3)
        axis.set_title(title(place), fontsize=10)
        axis.set_xlabel(METRICS[main.removeprefix("standard/")].label)
    return figure


def markdown(tables: dict[str, MarkedTable], failed: list[dict[str, Any]]) -> str:
    """GitHub's tables, one per set."""
    parts = []
    for heading, table in tables.items():
        texts = table.texts.mask(table.best, "**" + table.texts + "**")
        head, *rows = ["| " + " | ".join(cells) + " |" for cells in [("method", *texts), *texts.itertuples()]]
        rule = "|---" * (len(texts.columns) + 1) + "|"
        parts.append("\n".join([f"### {heading}\n", head, rule, *rows]) + "\n")
    return "\n".join(parts + [f"- failed: {f['experiment']}, seed {f['seed']}: {f['reason']}" for f in failed]) + "\n"


def latex(tables: dict[str, MarkedTable], failed: list[dict[str, Any]]) -> str:
    """A tabular per set, for booktabs."""
    parts = []
    for heading, table in tables.items():
        bold = table.best.astype(object).replace({True: "textbf: --rwrap", False: ""})
        style = table.texts.rename_axis(columns="method").style.apply(lambda _, bold=bold: bold, axis=None)
        style.format(escape="latex").format_index(escape="latex").format_index(escape="latex", axis="columns")
        tabular = style.to_latex(hrules=True, column_format="l" + "r" * len(bold.columns))
        for sign, written in SIGNS.items():
            tabular = tabular.replace(sign, written)
        parts.append(f"% {heading}\n{tabular}")
    return "\n".join(parts + [f"% failed: {f['experiment']}, seed {f['seed']}: {f['reason']}" for f in failed]) + "\n"


def side_by_side(results: dict[str, Path]) -> SideBySide:
    """Some images that all methods have: what was observed and is known, what each method restored, and its map."""
    names = sorted(set.intersection(*map(image_names, results.values())))
    names = [names[i * len(names) // SHOWN_IMAGES] for i in range(SHOWN_IMAGES)] if len(names) > SHOWN_IMAGES else names
    folders = list(results.values())
    scales = [heat_scale(load_result(each, name, ("map",), ())["map"] for name in names) for each in folders]
    rows = []
    for name in names:
        image = load_result(folders[0], name, ("observed",), ("truth", "clean"))
        above = [photograph(image["observed"]), photograph(image["clean"]) if "clean" in image else None]
        below = [Image.fromarray(image["truth"][0] > 0.5) if "truth" in image else None, None]
        for folder, scale in zip(folders, scales, strict=True):
            result = load_result(folder, name, ("map",), ("restored",))
            above.append(photograph(result["restored"]) if "restored" in result else None)
            below.append(heat(result["map"], scale))
        rows += [(name, [each and data_uri(each) for each in pictures]) for pictures in (above, below)]
    return SideBySide([label(method) for method in results], rows)


def image_names(results: Path) -> set[str]:
    """The names of all images in a folder of results."""
    return {path.relative_to(results).with_suffix("").as_posix() for path in results.rglob("*.npz")}
