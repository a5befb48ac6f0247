"""python experiments/optimiser/figure.py: objective over cost of the ways to find z, from table.csv to figure.png."""

import csv
import re
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
# Groups of variants that are one curve each: what their names begin with, and how they are called and drawn.
CURVES = {
    "the paper's Adam": ("the paper's Adam", "tab:gray", "o"),
    "own coordinates": ("Adam in z's own coordinates", "tab:blue", "s"),
    "metric basis": ("in the metric's basis", "tab:red", "o"),
    "best of": ("… best of several starts", "tab:orange", "^"),
    "encoder, ": ("… from the encoder", "tab:green", "D"),
    "L-BFGS": ("L-BFGS", "tab:purple", "v"),
    "Gauss-Newton": ("Gauss-Newton", "tab:brown", "P"),
}


def main() -> None:
    scores: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with (HERE / "table.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            scores[row["dataset"], row["corruption"]][row["variant"]][row["metric"]] = float(row["value"])
    figure, axes = plt.subplots(1, len(scores), figsize=(4.2 * len(scores), 4), layout="constrained")
    for axis, ((dataset, corruption), variants) in zip(axes, scores.items(), strict=True):
        for start, (label, colour, marker) in CURVES.items():
            found = [v for name, v in variants.items() if name.startswith(start) and re.search(r"\d", name)]
            points = sorted((values["passes"], values["objective"]) for values in found)
            line = "" if start == "best of" else "-"
            axis.plot(*zip(*points, strict=True), line, marker=marker, color=colour, label=label, markersize=5)
        axis.set(title=f"{dataset.replace('_', ' ')}, {corruption}", xscale="log", xlabel="generator passes per image")
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("RGI's objective, mean")
    axes[-1].legend(fontsize=8)
    figure.savefig(HERE / "figure.png", dpi=110)


if __name__ == "__main__":
    main()
