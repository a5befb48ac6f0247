"""From the runs that trained the shipped generators to table.csv, curves.csv and figure.png.

    python experiments/generators/collect.py outputs/textures_pretrain/... outputs/celeba_pretrain/...

A run's rows replace those of its generator; the others stay.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from omegaconf import OmegaConf

from rgi.generators.store import read_card

HERE = Path(__file__).parent
GENERATOR = ["dataset", "category", "resolution"]  # the columns that tell one generator from another
SHOWN = {"inversion_gap": "inversion gap (RMS)", "swd": "sliced Wasserstein distance, thousandths"}


def main() -> None:
    """Collect the runs that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished trainings")
    table, curves = read("table.csv"), read("curves.csv")
    for run in parser.parse_args().runs:
        config = OmegaConf.load(run / "config.yaml")
        card = read_card(Path(config.generator.path))
        generator = pd.Series([card.dataset, card.category, str(card.resolution)], GENERATOR)
        metrics = json.loads((run / "metrics.json").read_text())
        values = {"steps": card.steps, "steps_trained": metrics["steps_trained"], **metrics["quality"]}
        values |= {f"residual_{level}": value for level, value in card.residuals.items()}
        rows = [("", card.family, "", metric, card.seed, value) for metric, value in values.items()]
        columns = ["corruption", "method", "protocol", "metric", "seed", "value"]
        table = replace(table, pd.DataFrame(rows, columns=columns, dtype=object), generator)
        judged = pd.read_csv(run / "training.csv", dtype=str, keep_default_na=False)
        curves = replace(curves, judged, generator)
    table.to_csv(HERE / "table.csv", index=False)
    curves.to_csv(HERE / "curves.csv", index=False)
    draw(curves)


def read(name: str) -> pd.DataFrame:
    """Rows of an earlier call, as text, so that they stay as they are."""
    if not (HERE / name).exists():
        return pd.DataFrame(columns=GENERATOR)
    return pd.read_csv(HERE / name, dtype=str, keep_default_na=False)


def replace(table: pd.DataFrame, rows: pd.DataFrame, generator: pd.Series) -> pd.DataFrame:
    """The table with these rows in place of those that it has of the generator, sorted by generator."""
    others = table[(table[GENERATOR] != generator).any(axis="columns")]
    rows = pd.DataFrame(dict(generator), rows.index).join(rows)
    return pd.concat([others, rows]).sort_values(["dataset", "category"], kind="stable")


def draw(curves: pd.DataFrame) -> None:
    """Inversion gap and sample quality over the steps, one line per generator, the state that is kept marked."""
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(10, 4), layout="constrained")
    for (dataset, category), rows in curves.groupby(["dataset", "category"]):
        values = rows[["step", *SHOWN]].astype(float)
        best = values.iloc[values["inversion_gap"].argmin()]
        for axis, metric in zip(axes, SHOWN, strict=True):
            (line,) = axis.plot(values["step"], values[metric], label=f"{dataset} {category}", linewidth=1)
            axis.plot(best["step"], best[metric], "o", color=line.get_color())
    for axis, label in zip(axes, SHOWN.values(), strict=True):
        axis.set(xlabel="generator steps", ylabel=label, yscale="log")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "figure.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
