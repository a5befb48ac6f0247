"""Tables of a benchmark as Markdown, LaTeX and HTML, with a figure of the main metric and a comparison of images.

A cell is the mean over seeds and the spread, which is half of the range over seeds. A method is bold if it is better
than all other methods by more than both spreads.
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
from rgi.report.formats import MISSING, fixed
from rgi.report.methods import label
from rgi.report.pictures import data_uri, heatmap, heatmap_scale, to_picture
from rgi.report.tables import METRICS, MarkedTable
from rgi.report.templates import load_template

IMAGES_PER_SET = 6  # images of each test set in the comparison
DETECTION_METRIC, RESTORATION_METRIC = "standard/pixel_auroc", "standard/psnr"  # main metrics for defects and for holes
PANELS_PER_ROW = 3  # test sets in one row of the figure
SET_COLUMNS = ["dataset", "category", "corruption"]  # columns that identify a test set
LATEX_SYMBOLS = {"±": r"$\pm$", MISSING: "--", "\u2009": r"\,", "·": r"$\cdot$"}
SetKey = tuple[str, ...]  # values of `SET_COLUMNS`


@dataclass(frozen=True)
class ImageComparison:
    """Images of a test set with the results of all methods.

    Attributes:
        methods: names of the methods.
        rows: name of the image and data URIs of its pictures, two rows per image. The first row has the observed, the
            clean and the restored images. The second row has the true mask, an empty cell and the anomaly maps. None
            stands for a missing picture.
    """

    methods: list[str]
    rows: list[tuple[str, list[str | None]]]


def write_benchmark(
    folder: Path,
    name: str,
    scores: pd.DataFrame,
    failed: list[dict[str, Any]],
    results: dict[SetKey, dict[str, Path]],
) -> Path:
    """Write table.md, table.tex, table.html and figure.png.

    Args:
        folder: folder that the files are written to.
        name: name of the benchmark, used as the heading.
        scores: one row per method and metric, with the columns dataset, category, corruption, method, metric
            (``<protocol>/<metric>``), mean, spread and seeds (number of seeds).
        failed: runs that failed, each with the keys experiment, seed and reason.
        results: for each test set, the results folder of each method; all methods have results of the same images.

    Returns:
        Path of table.html.
    """
    tables = benchmark_tables(scores)
    (folder / "table.md").write_text(markdown(tables, failed))
    (folder / "table.tex").write_text(latex(tables, failed))
    if tables:
        score_figure(scores).savefig(folder / "figure.png", dpi=110)
    comparisons = {set_title(key): compare_images(folders) for key, folders in results.items()}
    page = folder / "table.html"
    template = load_template("benchmark.html")
    page.write_text(template.render(name=name, tables=tables, failed=failed, comparisons=comparisons), encoding="utf-8")
    return page


def set_title(key: SetKey) -> str:
    """Heading of a test set: dataset, category and corruption."""
    return " · ".join(part for part in key if part)


def benchmark_tables(scores: pd.DataFrame) -> dict[str, MarkedTable]:
    """Tables of all test sets by `set_title`.

    Args:
        scores: scores of all test sets, as for `write_benchmark`.
    """
    return {set_title(key): set_table(rows) for key, rows in scores.groupby(SET_COLUMNS, sort=False)}


def set_table(scores: pd.DataFrame) -> MarkedTable:
    """Table of one test set with one row per method and one column per metric of `METRICS`."""
    methods = scores["method"].unique()
    names = scores["metric"].str.removeprefix("standard/")
    texts, best = (pd.DataFrame(index=pd.Index(map(label, methods))) for _ in range(2))
    for name, metric in METRICS.items():
        if not (names == name).any():
            continue
        column = scores[names == name].set_index("method").reindex(methods)
        column = column.where(np.isfinite(column["mean"]))
        means = column["mean"].map(metric.format)
        spreads = zip(means, column["spread"], column["seeds"], strict=True)
        texts[metric.label] = [mean_with_spread(*each, metric.format) for each in spreads]
        # If two means have the same text, no reader can see which method is better.
        best[metric.label] = (clearly_best(column, metric.direction) & ~means.duplicated(keep=False)).to_numpy()
    return MarkedTable(texts, best)


def mean_with_spread(mean: str, spread: float, seeds: float, format_value: Callable[[float], str]) -> str:
    """Text of a mean and its spread with the same number of decimals.

    Args:
        mean: text of the mean.
        spread: half of the range over seeds.
        seeds: number of seeds. With one seed, the result is only the mean.
        format_value: format function of the metric, used for the spread if the mean has an exponent.
    """
    if seeds < 2 or mean == MISSING:
        return mean
    format_value = format_value if "e" in mean else fixed(len(mean.partition(".")[2]))
    return f"{mean} ± {format_value(spread)}"


def clearly_best(scores: pd.DataFrame, direction: int) -> pd.Series:
    """Find the method that is better than all other methods by more than both spreads.

    Args:
        scores: mean, spread and number of seeds of each method; NaN for a method without this metric.
        direction: +1 if higher is better, -1 if lower is better, 0 for a metric without a ranking.

    Returns:
        A Series of bool with the index of the scores. A method with one seed is never the best.
    """
    scored = scores.dropna(subset="mean")
    if not direction or len(scored) < 2:
        return pd.Series(False, scores.index)
    means, spreads = scored["mean"].to_numpy(), scored["spread"].to_numpy()
    beyond = direction * np.subtract.outer(means, means) > np.add.outer(spreads, spreads)
    np.fill_diagonal(beyond, True)
    return (beyond.all(axis=1) & (scored["seeds"] > 1)).reindex(scores.index, fill_value=False)


def score_figure(scores: pd.DataFrame) -> Figure:
    """Figure with one panel per test set: mean and spread of the main metric of each method.

    The main metric is `DETECTION_METRIC` for defects, and `RESTORATION_METRIC` for other corruptions.

    Args:
        scores: scores of all test sets, as for `write_benchmark`.
    """
    sets = list(scores.groupby(SET_COLUMNS, sort=False))
    columns, rows = min(PANELS_PER_ROW, len(sets)), -(-len(sets) // PANELS_PER_ROW)
    most_methods = max(of_set["method"].nunique() for _, of_set in sets)
    figure = Figure(figsize=(4.2 * columns, (0.8 + 0.27 * most_methods) * rows), layout="constrained")
    for position, (key, of_set) in enumerate(sets, start=1):
        main = DETECTION_METRIC if key[2] in ("", "defects") else RESTORATION_METRIC
        values = of_set[of_set["metric"] == main]
        axis = figure.add_subplot(rows, columns, position)
        axis.errorbar(values["mean"], range(len(values)), xerr=values["spread"], fmt="o", capsize=3)
        axis.set_yticks(range(len(values)), [label(method) for method in values["method"]])
        axis.invert_yaxis()
        axis.locator_params(axis="x", nbins=4)  # long numbers would overlap
        axis.grid(alpha=0.3)
        axis.set_title(set_title(key), fontsize=10)
        axis.set_xlabel(METRICS[main.removeprefix("standard/")].label)
    return figure


def markdown(tables: dict[str, MarkedTable], failed: list[dict[str, Any]]) -> str:
    """Markdown text with one table per test set and one line per failed run.

    Args:
        tables: tables by heading.
        failed: runs that failed, as for `write_benchmark`.
    """
    parts = []
    for heading, table in tables.items():
        texts = table.texts.mask(table.best, "**" + table.texts + "**")
        head, *rows = ["| " + " | ".join(cells) + " |" for cells in [("method", *texts), *texts.itertuples()]]
        rule = "|---" * (len(texts.columns) + 1) + "|"
        parts.append("\n".join([f"### {heading}\n", head, rule, *rows]) + "\n")
    return "\n".join(parts + [f"- failed: {f['experiment']}, seed {f['seed']}: {f['reason']}" for f in failed]) + "\n"


def latex(tables: dict[str, MarkedTable], failed: list[dict[str, Any]]) -> str:
    """LaTeX text with one tabular per test set and one comment per failed run; needs the package booktabs.

    Args:
        tables: tables by heading.
        failed: runs that failed, as for `write_benchmark`.
    """
    parts = []
    for heading, table in tables.items():
        bold = table.best.astype(object).replace({True: "textbf: --rwrap", False: ""})
        style = table.texts.rename_axis(columns="method").style.apply(lambda _, bold=bold: bold, axis=None)
        style.format(escape="latex").format_index(escape="latex").format_index(escape="latex", axis="columns")
        tabular = style.to_latex(hrules=True, column_format="l" + "r" * len(bold.columns))
        for symbol, command in LATEX_SYMBOLS.items():
            tabular = tabular.replace(symbol, command)
        parts.append(f"% {heading}\n{tabular}")
    return "\n".join(parts + [f"% failed: {f['experiment']}, seed {f['seed']}: {f['reason']}" for f in failed]) + "\n"


def compare_images(results: dict[str, Path]) -> ImageComparison:
    """Compare the results of all methods on the same images, at most `IMAGES_PER_SET` images.

    Args:
        results: results folder of each method. The comparison only uses images with results of all methods.
    """
    names = sorted(set.intersection(*map(image_names, results.values())))
    if len(names) > IMAGES_PER_SET:
        names = [names[i * len(names) // IMAGES_PER_SET] for i in range(IMAGES_PER_SET)]
    folders = list(results.values())
    scales = [heatmap_scale(load_result(each, name, ("map",), ())["map"] for name in names) for each in folders]
    rows = []
    for name in names:
        image = load_result(folders[0], name, ("observed",), ("truth", "clean"))
        above = [to_picture(image["observed"]), to_picture(image["clean"]) if "clean" in image else None]
        below = [Image.fromarray(image["truth"][0] > 0.5) if "truth" in image else None, None]
        for folder, scale in zip(folders, scales, strict=True):
            result = load_result(folder, name, ("map",), ("restored",))
            above.append(to_picture(result["restored"]) if "restored" in result else None)
            below.append(heatmap(result["map"], scale))
        rows += [(name, [each and data_uri(each) for each in pictures]) for pictures in (above, below)]
    return ImageComparison([label(method) for method in results], rows)


def image_names(results: Path) -> set[str]:
    """Names of all images with a results file in a folder."""
    return {path.relative_to(results).with_suffix("").as_posix() for path in results.rglob("*.npz")}
