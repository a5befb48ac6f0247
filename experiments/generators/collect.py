"""From the runs that trained the shipped generators to table.csv, curves.csv and figure.png.

    python experiments/generators/collect.py outputs/textures_pretrain/... outputs/celeba_pretrain/...

A run's rows replace those of its generator; the others stay.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from omegaconf import OmegaConf

from rgi.generators.store import read_card

HERE = Path(__file__).parent
SHOWN = {"inversion_gap": "inversion gap (RMS)", "swd": "sliced Wasserstein distance, thousandths"}


def main() -> None:
    """Collect the runs that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished trainings")
    table, curves = read("table.csv"), read("curves.csv")
    for run in parser.parse_args().runs:
        config = OmegaConf.load(run / "config.yaml")
        card = read_card(Path(config.generator.path))
        name = {"dataset": card.dataset, "category": card.category, "resolution": card.resolution}
        metrics = json.loads((run / "metrics.json").read_text())
        values = {"steps": card.steps, "steps_trained": metrics["steps_trained"], **metrics["quality"]}
        values |= {f"residual_{level}": value for level, value in card.residuals.items()}
        table = others(table, name)
        where = name | {"corruption": "", "method": card.family, "protocol": ""}
        table += [where | {"metric": metric, "seed": card.seed, "value": value} for metric, value in values.items()]
        with (run / "training.csv").open(newline="") as file:
            curves = others(curves, name) + [name | row for row in csv.DictReader(file)]
    write("table.csv", table)
    write("curves.csv", curves)
    draw(curves)


def read(name: str) -> list[dict[str, Any]]:
    """Rows of an earlier call."""
    if not (HERE / name).exists():
        return []
    with (HERE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def others(rows: list[dict[str, Any]], name: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the other generators."""
    return [row for row in rows if any(row[key] != str(value) for key, value in name.items())]


def write(name: str, rows: list[dict[str, Any]]) -> None:
    """All rows, sorted by generator."""
    rows = sorted(rows, key=lambda row: (row["dataset"], row["category"]))
    with (HERE / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)


def draw(curves: list[dict[str, Any]]) -> None:
    """Inversion gap and sample quality over the steps, one line per generator, the state that is kept marked."""
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(10, 4), layout="constrained")
    names = sorted({(row["dataset"], row["category"]) for row in curves})
    for dataset, category in names:
        rows = [row for row in curves if (row["dataset"], row["category"]) == (dataset, category)]
        steps = [float(row["step"]) for row in rows]
        best = min(range(len(rows)), key=lambda i: float(rows[i]["inversion_gap"]))
        for axis, metric in zip(axes, SHOWN, strict=True):
            values = [float(row[metric]) for row in rows]
            (line,) = axis.plot(steps, values, label=f"{dataset} {category}", linewidth=1)
            axis.plot(steps[best], values[best], "o", color=line.get_color())
    for axis, label in zip(axes, SHOWN.values(), strict=True):
        axis.set(xlabel="generator steps", ylabel=label, yscale="log")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "figure.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
