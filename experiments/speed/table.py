"""Table of the measurements as a file, as text, and as a figure.

`python experiments/speed/table.py` draws the figure from table.csv.
"""

from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

HERE = Path(__file__).parent
TITLES = {
    "rgi_64_cpu": "RGI, 64 px, CPU",
    "r_rgi_64_cpu": "R-RGI, 64 px, CPU",
    "rgi_64_fitted_cpu": "RGI, 64 px, fitted, CPU",
    "r_rgi_64_fitted_cpu": "R-RGI, 64 px, fitted, CPU",
    "rgi_128_cpu": "RGI, 128 px, CPU",
    "rgi_128_gpu": "RGI, 128 px, GPU",
    "r_rgi_128_gpu": "R-RGI, 128 px, GPU",
}
TRAINING = {
    "train_32_cpu": "progressive, 32 px, CPU",
    "train_128_cpu": "progressive, 128 px, CPU",
    "train_32_gpu": "progressive, 32 px, GPU",
    "train_128_gpu": "progressive, 128 px, GPU",
}
DATA = {"data_64_cpu": "compact, 64 px, CPU", "data_64_gpu": "compact, 64 px, GPU"}
METHODS = {
    "loop": ("plain loop", "#8a8f98"),
    "loop_without_critic": ("plain loop without the critic", "#c3c7cd"),
    "ours": ("ours", "#1668b8"),
}
TARGET = "#c1272d"
SWEEPS = {"rgi_64_cpu_sweep": ("RGI", "#1668b8"), "r_rgi_64_cpu_sweep": ("R-RGI", "#d1700a")}
QUALITIES = ("objective", "psnr", "pixel_auroc_mask", "pixel_auroc_residual")


class Row(NamedTuple):
    """One number of the table.

    Attributes:
        case: name of the case.
        images: number of images in the batch.
        method: name of the method.
        metric: name of the metric.
        value: number.
        unit: unit of the number, may be empty.
        extrapolated: whether the number is extrapolated from a shorter run.
    """

    case: str
    images: int
    method: str
    metric: str
    value: float
    unit: str
    extrapolated: bool = False


class Table:
    """Rows with access by case, method and metric.

    Args:
        rows: rows of the table.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.by_key = {(row.case, row.method, row.metric): row for row in rows}
        self.cases = [case for case in TITLES if (case, "ours", "seconds_per_image") in self.by_key]
        measured = {row.case for row in rows}
        self.training, self.data = ([case for case in titles if case in measured] for titles in (TRAINING, DATA))

    def value(self, case: str, method: str, metric: str) -> float:
        """Number of a row; NaN if the table has no such row."""
        row = self.by_key.get((case, method, metric))
        return row.value if row else float("nan")

    def formatted(self, case: str, method: str, metric: str) -> str:
        """Number of a row as text with three digits, and with ~ if it is extrapolated."""
        row = self.by_key[case, method, metric]
        return ("~" if row.extrapolated else "") + three_digits(row.value)

    def series(self, case: str, metric: str) -> dict[int, float]:
        """Values of a metric by number of images."""
        return {row.images: row.value for row in self.rows if (row.case, row.metric) == (case, metric)}


def three_digits(value: float) -> str:
    """A positive number as text with three digits, never with an exponent of ten."""
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{float(f'{value:.3g}'):,.0f}"


def write_table(rows: list[Row], path: Path) -> None:
    """Write the rows to a CSV file in long form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).astype({"extrapolated": int}).to_csv(path, index=False, float_format="%.6g", na_rep="nan")


def read_table(path: Path) -> list[Row]:
    """Read a file of `write_table`."""
    table = pd.read_csv(path).astype({"extrapolated": bool}).fillna({"unit": ""})
    return [Row(*row) for row in table.itertuples(index=False)]


def merge_rows(old: list[Row], new: list[Row]) -> list[Row]:
    """Merge two lists of rows.

    Args:
        old: earlier rows. Rows of cases that are in ``new`` are dropped.
        new: new rows, which come last.
    """
    measured = {row.case for row in new}
    return [*(row for row in old if row.case not in measured), *new]


def print_table(rows: list[Row]) -> None:
    """Print times, quality, steps, number of images and training in blocks. ~ marks extrapolated numbers."""
    table = Table(rows)
    _block(
        "seconds per image",
        "images  threads  loop  no critic  ours  speed-up  no critic  target  met",
        _times(table),
    )
    _block(
        "ours | loop, same images",
        "objective  worst ratio  PSNR  AUROC mask  AUROC residual  as good",
        _qualities(table),
    )
    _block("our steps", "start s/image  step s  steps  GFLOP/s  of float32  of bfloat16", _steps(table))
    for case in table.cases:
        print(f"{TITLES[case]}: {_hot_spots(table, case)}")
    _block("number of images", "s/image  peak MiB  MiB before", _sweeps(table))
    _block(
        "seconds per training step",
        "images  threads  plain  ours  speed-up  target  met  images/s  GFLOP/s  of matmul  first loss differs by",
        _trainings(table),
    )
    _block("seconds per training step", "images  from memory  from files  ratio  at most  met", _data(table))


def _block(title: str, heads: str, lines: list[tuple[str, ...]]) -> None:
    """Print a block. Two spaces separate the headings. A block without lines is not printed."""
    if not lines:
        return
    columns = pd.Index(heads.split("  "), name=title)
    table = pd.DataFrame([cells for _, *cells in lines], [name for name, *_ in lines], columns)
    print(f"\n{table.to_string(col_space=[len(head) + 1 for head in columns])}")


def _times(table: Table) -> list[tuple[str, ...]]:
    lines = []
    for case in table.cases:
        texts = [table.formatted(case, method, "seconds_per_image") for method in METHODS]
        texts += [table.formatted(case, "ours", f"speedup_over_{method}") for method in ("loop", "loop_without_critic")]
        target, speedup = (table.value(case, "ours", metric) for metric in ("target", "speedup_over_loop"))
        met = "yes" if speedup >= target else f"{speedup / target:.0%}"
        threads = "/".join(f"{table.value(case, method, 'threads'):.0f}" for method in ("loop", "ours"))
        images = str(table.by_key[case, "ours", "seconds_per_image"].images)
        lines.append((TITLES[case], images, threads, *texts, f"{target:.0f}", met))
    return lines


def _qualities(table: Table) -> list[tuple[str, ...]]:
    lines = []
    for case in table.cases:
        if (case, "loop", "objective") in table.by_key:
            both = [[table.value(case, side, name) for side in ("ours", "loop")] for name in QUALITIES]
            objective, *scores = (f"{ours:.4g} | {loop:.4g}" for ours, loop in both)
            worst = table.value(case, "ours", "worst_objective_ratio")
            lines.append((TITLES[case], objective, f"{worst:.3f}", *scores, "yes" if as_good(table, case) else "no"))
    return lines


def as_good(table: Table, case: str) -> bool:
    """Whether our results are at least as good as the results of the published procedure.

    Our mean objective must not be higher, and our objective of an image may be at most 5 % higher. For R-RGI, a low
    objective can mean overfitting, so our PSNR and our pixel AUROC must not be lower.

    Args:
        table: table of the measurements.
        case: name of the case.
    """
    both = {name: [table.value(case, side, name) for side in ("ours", "loop")] for name in QUALITIES}
    ours, loop = both.pop("objective")
    good = ours <= loop and table.value(case, "ours", "worst_objective_ratio") <= 1.05
    return good and (not case.startswith("r_rgi") or all(ours >= loop for ours, loop in both.values()))


def _steps(table: Table) -> list[tuple[str, ...]]:
    lines = []
    for case in table.cases:
        rate = table.value(case, "ours", "network_rate")
        device = case.rpartition("_")[2]
        shares = [f"{rate / table.value(device, 'matmul', dtype):.0%}" for dtype in ("float32", "bfloat16")]
        parts = [
            table.formatted(case, "ours", metric) for metric in ("start_seconds_per_image", "step_seconds", "steps")
        ]
        lines.append((TITLES[case], *parts, f"{rate:.1f}", *shares))
    return lines


def _hot_spots(table: Table, case: str) -> str:
    spots = [row for row in table.rows if row.case == case and row.metric.startswith("self_time ")]
    return ", ".join(f"{row.metric.removeprefix('self_time ')} {row.value:.0f} %" for row in spots)


def _sweeps(table: Table) -> list[tuple[str, ...]]:
    lines = []
    for case, (title, _) in SWEEPS.items():
        seconds, *memory = (table.series(case, name) for name in ("seconds_per_image", "peak_memory", "memory_before"))
        lines += [(f"{title}, {n}", f"{seconds[n]:.3g}", *(f"{values[n]:.0f}" for values in memory)) for n in seconds]
    return lines


def _trainings(table: Table) -> list[tuple[str, ...]]:
    lines = []
    for case in table.training:
        seconds = [table.formatted(case, method, "step_seconds") for method in ("plain", "ours")]
        speedup, target = (table.value(case, "ours", metric) for metric in ("speedup_over_plain", "target"))
        met = "yes" if speedup >= target else f"{speedup / target:.0%}"
        rates = [table.formatted(case, "ours", metric) for metric in ("images_per_second", "network_rate")]
        share, loss = (table.value(case, "ours", metric) for metric in ("share_of_matmul", "first_loss_difference"))
        images, threads = table.by_key[case, "ours", "step_seconds"].images, table.value(case, "ours", "threads")
        first = (TRAINING[case], str(images), f"{threads:.0f}", *seconds, f"{speedup:.3g}", f"{target:.3g}", met)
        lines.append((*first, *rates, f"{share:.0f} %", f"{100 * loss:.2g} %"))
    return lines


def _data(table: Table) -> list[tuple[str, ...]]:
    lines = []
    for case in table.data:
        seconds = [table.formatted(case, method, "step_seconds") for method in ("memory", "files")]
        ratio, target = (table.value(case, "files", metric) for metric in ("time_over_memory", "target"))
        images = table.by_key[case, "files", "step_seconds"].images
        texts = (f"{ratio:.3f}", f"{target:.3g}", "yes" if ratio <= target else "no")
        lines.append((DATA[case], str(images), *seconds, *texts))
    return lines


def draw(source: Path, target: Path) -> None:
    """Draw the figure: seconds per image of all methods, and our time and memory over the number of images.

    Args:
        source: file of `write_table`.
        target: file that the figure is written to.
    """
    table = Table(read_table(source))
    figure = plt.figure(figsize=(11, 1.6 + 1.1 * len(table.cases)), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(2.2, 1))
    _bars(figure.add_subplot(grid[:, 0]), table)
    _curves(figure.add_subplot(grid[0, 1]), table, "seconds_per_image", "seconds per image")
    _curves(figure.add_subplot(grid[1, 1]), table, "peak_memory", "peak memory, MiB")
    figure.savefig(target, dpi=130)
    plt.close(figure)


def _bars(axes: Axes, table: Table) -> None:
    """Draw the seconds per image of all cases and methods. Extrapolated bars are hatched. A line marks our target."""
    height, ends = 0.8 / len(METHODS), []
    for place, case in enumerate(table.cases):
        for line, (method, (_, colour)) in enumerate(METHODS.items()):
            row, y = table.by_key[case, method, "seconds_per_image"], place + (line - 1) * height
            hatch = "///" if row.extrapolated else None
            axes.barh(y, row.value, 0.9 * height, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
            label, end = f" {three_digits(row.value)} s", row.value
            if method == "ours":
                label += f"   1/{three_digits(table.value(case, 'ours', 'speedup_over_loop'))}"
                goal = table.value(case, "loop", "seconds_per_image") / table.value(case, "ours", "target")
                axes.plot([goal] * 2, [y - height / 2, y + height / 2], color=TARGET, lw=2.5)
                end = max(end, goal)
            axes.annotate(label, (end, y), va="center", fontsize=9)
            ends += [row.value, end]
    axes.set(xscale="log", xlim=(min(ends) / 3, max(ends) * 6), xlabel="seconds per image (hatched: extrapolated)")
    axes.set_yticks(range(len(table.cases)), [TITLES[case] for case in table.cases])
    axes.invert_yaxis()
    keys = [Patch(color=colour, label=title) for title, colour in METHODS.values()]
    keys.append(Line2D([], [], color=TARGET, lw=2.5, label="target for ours"))
    axes.legend(handles=keys, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _curves(axes: Axes, table: Table, metric: str, label: str) -> None:
    """Draw one of our metrics over the number of images."""
    most = 0.0
    for case, (title, colour) in SWEEPS.items():
        values = table.series(case, metric)
        most = max(most, *values.values())
        axes.plot([*values], [*values.values()], "o-", color=colour, label=title)
        axes.set_xscale("log", base=2)
        axes.set_xticks([*values], [str(count) for count in values])
    axes.minorticks_off()
    axes.set(xlabel="images", ylabel=label, ylim=(0, 1.15 * most))
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(HERE / "table.csv", HERE / "figure.png")
