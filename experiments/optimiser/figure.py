"""python experiments/optimiser/figure.py: draw the objective over the cost of the optimisers, from table.csv."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

HERE = Path(__file__).parent
# Label, colour and marker of each curve by the prefix of its variants.
CURVES = {
    "the paper's Adam": ("the paper's Adam", "tab:gray", "o"),
    "own coordinates": ("Adam in the standard basis", "tab:blue", "s"),
    "metric basis": ("Adam in the metric basis", "tab:red", "o"),
    "best of": ("metric basis, best of k starts", "tab:orange", "^"),
    "guess, ": ("metric basis, from the guess", "tab:green", "D"),
    "L-BFGS": ("L-BFGS", "tab:purple", "v"),
    "Gauss-Newton": ("Gauss-Newton", "tab:brown", "P"),
}


def main() -> None:
    """Draw figure.png."""
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
    axes[0].set_ylabel("mean objective of RGI")
    axes[-1].legend(fontsize=8)
    figure.savefig(HERE / "figure.png", dpi=110)


if __name__ == "__main__":
    main()
