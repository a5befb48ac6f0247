"""python experiments/optimiser/figure.py: objective over cost of the ways to find z, from table.csv to figure.png."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

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
    cells = list(pd.read_csv(HERE / "table.csv").groupby(["dataset", "corruption"], sort=False))
    figure, axes = plt.subplots(1, len(cells), figsize=(4.2 * len(cells), 4), layout="constrained")
    for axis, ((dataset, corruption), rows) in zip(axes, cells, strict=True):
        scores = rows.pivot(index="variant", columns="metric", values="value").sort_values(["passes", "objective"])
        for start, (label, colour, marker) in CURVES.items():
            curve = scores[scores.index.str.startswith(start) & scores.index.str.contains(r"\d")]
            line, style = "" if start == "best of" else "-", {"marker": marker, "color": colour, "markersize": 5}
            axis.plot(curve["passes"], curve["objective"], line, label=label, **style)
        axis.set(title=f"{dataset.replace('_', ' ')}, {corruption}", xscale="log", xlabel="generator passes per image")
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("RGI's objective, mean")
    axes[-1].legend(fontsize=8)
    figure.savefig(HERE / "figure.png", dpi=110)


if __name__ == "__main__":
    main()
