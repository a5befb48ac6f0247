"""A benchmark's table as Markdown, LaTeX and HTML: mean and spread over seeds, bold where the spread allows.

Beside it a figure of each set's main score, and on the page the same images under every method.
"""

import html
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from rgi.evaluation.results import load_result
from rgi.report.methods import Run, label
from rgi.report.pictures import data_uri, heat, heat_scale, photograph
from rgi.report.tables import METRICS, MISSING, Metric, fixed

SHOWN_IMAGES = 6  # per set, under every method
FOUND, RESTORED = "standard/pixel_auroc", "standard/psnr"  # what the figure shows of defects, and of holes
ACROSS = 3  # sets in a row of the figure


@dataclass(frozen=True)
class Cell:
    """A score over seeds: its mean, half of its range, and over how many seeds."""

    mean: float
    spread: float
    seeds: int

    def text(self, metric: Metric) -> str:
        """As shown, the spread with as many decimals as the mean; a single seed has no spread to show."""
        mean = metric.show(self.mean)
        if self.seeds < 2 or mean == MISSING:
            return mean
        spread = metric.show if "e" in mean else fixed(len(mean.partition(".")[2]))
        return f"{mean} ± {spread(self.spread)}"


Key = tuple[str, ...]  # dataset, category, corruption, method
Scores = dict[Key, dict[str, Cell]]


def known(metric: str) -> Metric | None:
    """How a metric of the long form is shown; None if it is not."""
    return METRICS.get(metric.removeprefix("standard/"))


def best(column: list[Cell | None], better: int) -> list[bool]:
    """Whose interval of mean ± spread lies beyond all others'. With one seed nobody's spread is known, and none is."""
    if not better or sum(cell is not None for cell in column) < 2:
        return [False] * len(column)
    marks = []
    for one in column:
        others = [other for other in column if other is not None and other is not one]
        marks.append(
            one is not None
            and one.seeds > 1
            and all(better * (one.mean - other.mean) > one.spread + other.spread for other in others)
        )
    return marks


def table(scores: Scores) -> list[tuple[str, list[str], list[tuple[str, list[tuple[str, bool]]]]]]:
    """Per set: its name, the columns' labels, and per method its cells' texts and whether each is best."""
    found = []
    for place in dict.fromkeys(key[:3] for key in scores):
        rows = {key[3]: row for key, row in scores.items() if key[:3] == place}
        metrics = [m for m in dict.fromkeys(m for row in rows.values() for m in row) if known(m)]
        order = list(METRICS)
        metrics.sort(key=lambda m: order.index(m.removeprefix("standard/")))
        columns = []
        for name in metrics:
            cells = [row.get(name) for row in rows.values()]
            cells = [None if cell is None or not math.isfinite(cell.mean) else cell for cell in cells]
            texts = [MISSING if cell is None else cell.text(known(name)) for cell in cells]
            means = [None if cell is None else known(name).show(cell.mean) for cell in cells]
            marks = best(cells, known(name).better)  # which nobody would believe of two whose means look the same
            marks = [mark and means.count(mean) == 1 for mark, mean in zip(marks, means, strict=True)]
            columns.append(list(zip(texts, marks, strict=True)))
        lines = [(label(method), [column[i] for column in columns]) for i, method in enumerate(rows)]
        found.append((title(place), [known(m).label for m in metrics], lines))
    return found


def write_benchmark(
    folder: Path, name: str, scores: Scores, failed: list[dict[str, Any]], runs: dict[Key, list[Run]]
) -> Path:
    """Write table.md, table.tex, table.html and figure.png; returns the page.

    Args:
        folder: of the benchmark.
        name: of the benchmark.
        scores: by set and method.
        failed: experiment, seed and reason of each row that could not be run.
        runs: of each set (dataset, category, corruption) the methods' results, on the same images.
    """
    sets = table(scores)
    (folder / "table.md").write_text(markdown(sets, failed))
    (folder / "table.tex").write_text(latex(sets, failed))
    if sets:
        draw(scores).savefig(folder / "figure.png", dpi=110)
    page = folder / "table.html"
    page.write_text(web(name, sets, failed, {title(key): side_by_side(found) for key, found in runs.items()}))
    return page


def title(key: Key) -> str:
    """A set in words."""
    return " · ".join(part for part in key[:3] if part)


def draw(scores: Scores) -> Figure:
    """A panel per set: mean and spread of its main score, a line per method."""
    places = list(dict.fromkeys(key[:3] for key in scores))
    lines = -(-len(places) // ACROSS)
    most = max(sum(key[:3] == place for key in scores) for place in places)
    figure = Figure(figsize=(4.2 * min(ACROSS, len(places)), (0.8 + 0.27 * most) * lines), layout="constrained")
    for position, place in enumerate(places, start=1):
        axis = figure.add_subplot(lines, min(ACROSS, len(places)), position)
        rows = {key[3]: row for key, row in scores.items() if key[:3] == place}
        shown = FOUND if place[2] in ("", "defects") else RESTORED
        cells = {method: row[shown] for method, row in rows.items() if shown in row}
        means, spreads = [cell.mean for cell in cells.values()], [cell.spread for cell in cells.values()]
        axis.errorbar(means, range(len(cells)), xerr=spreads, fmt="o", capsize=3)
        axis.set_yticks(range(len(cells)), [label(method) for method in cells])
        axis.invert_yaxis()
        axis.grid(alpha=0.3)
        axis.set_title(title(place), fontsize=10)
        axis.set_xlabel(known(shown).label)
    return figure


def markdown(sets: list, failed: list[dict[str, Any]]) -> str:
    """GitHub's tables, one per set."""
    parts = []
    for title, labels, lines in sets:
        rows = ["| method | " + " | ".join(labels) + " |", "|---" * (len(labels) + 1) + "|"]
        for method, cells in lines:
            rows.append(f"| {method} | " + " | ".join(f"**{t}**" if b else t for t, b in cells) + " |")
        parts.append(f"### {title}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts + [f"- failed: {f['experiment']}, seed {f['seed']}: {f['reason']}" for f in failed]) + "\n"


def latex(sets: list, failed: list[dict[str, Any]]) -> str:
    """A tabular per set, for booktabs."""

    def escaped(text: str) -> str:
        for sign in "&%_#":
            text = text.replace(sign, f"\\{sign}")
        return text.replace("±", r"$\pm$").replace("\u2013", "--").replace("\u2009", r"\,").replace("·", r"$\cdot$")

    parts = []
    for title, labels, lines in sets:
        rows = [" & ".join(["method", *map(escaped, labels)]) + r" \\", r"\midrule"]
        for method, cells in lines:
            texts = [rf"\textbf{{{escaped(t)}}}" if b else escaped(t) for t, b in cells]
            rows.append(" & ".join([escaped(method), *texts]) + r" \\")
        body = "\n".join([r"\toprule", *rows, r"\bottomrule"])
        parts.append(f"% {title}\n\\begin{{tabular}}{{l{'r' * len(labels)}}}\n{body}\n\\end{{tabular}}\n")
    return "\n".join(parts + [f"% failed: {f['experiment']}, seed {f['seed']}: {f['reason']}" for f in failed]) + "\n"


STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff}.scroll{overflow-x:auto}
table.p td,table.p th{border:0;padding:.15rem;text-align:center;font-weight:normal}.p img{height:5rem}
img{image-rendering:pixelated}img.f{max-width:100%;image-rendering:auto}.failed{color:#a00}
"""


def web(name: str, sets: list, failed: list[dict[str, Any]], galleries: dict[str, str]) -> str:
    """A page with every table, the same images under every method below it, and what failed."""
    parts = [f"<!doctype html><meta charset=utf-8><title>{html.escape(name)}</title><style>{STYLE}</style>"]
    parts += [
        f"<h1>Benchmark {html.escape(name)}</h1>",
        "<p>Mean ± half of the range over the seeds. Bold: better than every other by more than both spreads. The ",
        "generator is the same for all seeds. Pictures: the first seed, above what was observed and restored, below ",
        "the truth and the anomaly maps, each method's on a scale of its own.</p>",
    ]
    parts += [
        f"<p class=failed>{html.escape(f['experiment'])}, seed {f['seed']}: failed: {html.escape(f['reason'])}</p>"
        for f in failed
    ]
    if sets:
        parts.append('<img class=f src="figure.png" alt="Main score of every method on every set">')
    for heading, labels, lines in sets:
        head = "".join(f"<th>{html.escape(word)}</th>" for word in ["method", *labels])
        body = "".join(
            f"<tr><td>{html.escape(method)}</td>"
            + "".join(f"<td>{'<b>' if b else ''}{html.escape(t)}{'</b>' if b else ''}</td>" for t, b in cells)
            + "</tr>"
            for method, cells in lines
        )
        parts.append(f"<h2>{html.escape(heading)}</h2><div class=scroll><table><tr>{head}</tr>{body}</table></div>")
        parts.append(galleries.get(heading, ""))
    return "\n".join(parts)


def side_by_side(runs: list[Run]) -> str:
    """Some images, two rows each, and a column for every method: what it restored, and its map."""
    names = sorted(set.intersection(*(_names(run) for run in runs)))
    names = [names[i * len(names) // SHOWN_IMAGES] for i in range(SHOWN_IMAGES)] if len(names) > SHOWN_IMAGES else names
    scales = [heat_scale(load_result(run.results, name, ("map",), ())["map"] for name in names) for run in runs]
    rows = ["<tr><th>image</th><th></th>" + "".join(f"<th>{html.escape(run.label)}</th>" for run in runs) + "</tr>"]
    for name in names:
        image = load_result(runs[0].results, name, ("observed",), ("truth", "clean"))
        above = [photograph(image["observed"]), photograph(image["clean"]) if "clean" in image else None]
        below = [Image.fromarray(image["truth"][0] > 0.5) if "truth" in image else None, None]
        for run, scale in zip(runs, scales, strict=True):
            found = load_result(run.results, name, ("map",), ("restored",))
            above.append(photograph(found["restored"]) if "restored" in found else None)
            below.append(heat(found["map"], scale))
        rows += ["<tr>" + "".join(_cell(name, picture) for picture in line) + "</tr>" for line in (above, below)]
    return f"<div class=scroll><table class=p>{''.join(rows)}</table></div>"


def _names(run: Run) -> set[str]:
    return {path.relative_to(run.results).with_suffix("").as_posix() for path in run.results.rglob("*.npz")}


def _cell(name: str, picture: Image.Image | None) -> str:
    if picture is None:
        return "<td></td>"
    return f'<td><img alt="{html.escape(name)}" title="{html.escape(name)}" src="{data_uri(picture)}"></td>'
