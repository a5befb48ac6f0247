"""A benchmark's table as Markdown, LaTeX and HTML: mean and spread over seeds, bold where the spread allows."""

import html
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgi.report.tables import METRICS, MISSING, Metric

SHOWN_IMAGES = 6  # per set, under every method


@dataclass(frozen=True)
class Cell:
    """A score over seeds: its mean, half of its range, and over how many seeds."""

    mean: float
    spread: float
    seeds: int

    def text(self, metric: Metric) -> str:
        """As shown; a single seed has no spread to show."""
        mean = metric.show(self.mean)
        return mean if self.seeds < 2 or mean == MISSING else f"{mean} ± {metric.show(self.spread)}"


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
            columns.append(list(zip(texts, best(cells, known(name).better), strict=True)))
        lines = [(method, [column[i] for column in columns]) for i, method in enumerate(rows)]
        found.append((" · ".join(part for part in place if part), [known(m).label for m in metrics], lines))
    return found


def write_benchmark(
    folder: Path, name: str, scores: Scores, failed: list[dict[str, Any]], pictures: dict[tuple[str, str], Path]
) -> Path:
    """Write table.md, table.tex and table.html; returns the page.

    Args:
        folder: of the benchmark.
        name: of the benchmark.
        scores: by set and method.
        failed: experiment, seed and reason of each row that could not be run.
        pictures: of each experiment and category a run's folder, whose pictures are shown side by side.
    """
    sets = table(scores)
    (folder / "table.md").write_text(markdown(sets, failed))
    (folder / "table.tex").write_text(latex(sets, failed))
    page = folder / "table.html"
    page.write_text(web(name, sets, failed, folder, pictures))
    return page


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
img{height:5rem;image-rendering:pixelated}td.p{padding:.2rem}.failed{color:#a00}
"""


def web(
    name: str, sets: list, failed: list[dict[str, Any]], folder: Path, pictures: dict[tuple[str, str], Path]
) -> str:
    """A page with every table, what failed, and the same images under every method."""
    parts = [f"<!doctype html><meta charset=utf-8><title>{html.escape(name)}</title><style>{STYLE}</style>"]
    parts += [
        f"<h1>Benchmark {html.escape(name)}</h1>",
        "<p>Mean ± half of the range over the seeds. Bold: better than",
    ]
    parts += ["every other by more than both spreads. The generator is the same for all seeds.</p>"]
    for title, labels, lines in sets:
        head = "".join(f"<th>{html.escape(label)}</th>" for label in ["method", *labels])
        body = "".join(
            f"<tr><td>{html.escape(method)}</td>"
            + "".join(f"<td>{'<b>' if b else ''}{html.escape(t)}{'</b>' if b else ''}</td>" for t, b in cells)
            + "</tr>"
            for method, cells in lines
        )
        parts.append(f"<h2>{html.escape(title)}</h2><div class=scroll><table><tr>{head}</tr>{body}</table></div>")
    parts += [
        f"<p class=failed>{html.escape(f['experiment'])}, seed {f['seed']}: failed: {html.escape(f['reason'])}</p>"
        for f in failed
    ]
    parts.append("<h2>The same images under every method</h2><p>Observed, restored, map, truth, as far as known.</p>")
    for (experiment, category), run in pictures.items():
        files = sorted((run / "pictures").rglob("*.png"))
        chosen = [files[i * len(files) // SHOWN_IMAGES] for i in range(min(SHOWN_IMAGES, len(files)))]
        shown = "".join(
            f'<td class=p><img alt="{html.escape(file.stem)}" src="{os.path.relpath(file, folder)}"></td>'
            for file in dict.fromkeys(chosen)
        )
        label = f"{experiment} {category}"
        parts.append(f"<div class=scroll><table><tr><td>{html.escape(label)}</td>{shown}</tr></table></div>")
    return "\n".join(parts)
