"""python experiments/robustness/figure.py: draw study.csv as maps over contrast and area in figure.png."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

HERE = Path(__file__).resolve().parent
PAIRS = [("rgi", "anogan", "RGI minus AnoGAN"), ("rrgi", "rgi", "R-RGI minus RGI")]
LIMIT = 0.1  # of the colours


def main() -> None:
    """Draw a row of maps for each difference between two methods."""
    table = pd.read_csv(HERE / "study.csv")
    sets = list(table["set"].unique())
    figure, axes = plt.subplots(len(PAIRS), len(sets), figsize=(3 * len(sets), 6), layout="constrained", squeeze=False)
    for row, (better, other, title) in zip(axes, PAIRS, strict=True):
        for axis, name in zip(row, sets, strict=True):
            scores = table[table["set"] == name].pivot_table("pixel_auroc", ["method", "area"], "contrast")
            difference = scores.loc[better] - scores.loc[other]
            axis.imshow(difference, cmap="RdBu", vmin=-LIMIT, vmax=LIMIT, origin="lower", aspect="auto")
            for (y, x), value in [((y, x), difference.iloc[y, x]) for y in range(5) for x in range(5)]:
                strong = abs(value) > 0.7 * LIMIT
                axis.text(x, y, f"{value:+.2f}", ha="center", va="center", size=8, color="white" if strong else "black")
            axis.set(title=f"{name}: {title}", xlabel="contrast, deviations", ylabel="area, percent")
            axis.set_xticks(range(len(difference.columns)), difference.columns)
            axis.set_yticks(range(len(difference)), [f"{100 * area:g}" for area in difference.index])
    figure.savefig(HERE / "figure.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
