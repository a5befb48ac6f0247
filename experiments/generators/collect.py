"""Collect the training runs of the shipped generators in table.csv, curves.csv and figure.png.

    python experiments/generators/collect.py outputs/textures_pretrain/... outputs/celeba_pretrain/...

The rows of a run replace earlier rows of the same generator. Rows of other generators do not change.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from omegaconf import OmegaConf

from rgi.generators.store import read_card

HERE = Path(__file__).parent
GENERATOR_COLUMNS = ["dataset", "category", "resolution"]  # columns that identify a generator
METRIC_LABELS = {"inversion_gap": "inversion gap (RMS)", "swd": "sliced Wasserstein distance, thousandths"}


def main() -> None:
    """Collect the runs from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished trainings")
    table, curves = read_rows("table.csv"), read_rows("curves.csv")
    for run in parser.parse_args().runs:
        config = OmegaConf.load(run / "config.yaml")
        card = read_card(Path(config.generator.path))
        generator = pd.Series([card.dataset, card.category, str(card.resolution)], GENERATOR_COLUMNS)
        metrics = json.loads((run / "metrics.json").read_text())
        values = {"steps": card.steps, "steps_trained": metrics["steps_trained"], **metrics["quality"]}
        values |= {f"residual_{level}": value for level, value in card.residuals.items()}
        rows = [("", card.family, "", metric, card.seed, value) for metric, value in values.items()]
        columns = ["corruption", "method", "protocol", "metric", "seed", "value"]
        table = replace_rows(table, pd.DataFrame(rows, columns=columns, dtype=object), generator)
        judged = pd.read_csv(run / "training.csv", dtype=str, keep_default_na=False)
        curves = replace_rows(curves, judged, generator)
    table.to_csv(HERE / "table.csv", index=False)
    curves.to_csv(HERE / "curves.csv", index=False)
    draw(curves)


def read_rows(name: str) -> pd.DataFrame:
    """Read the rows of an earlier call as text, so that numbers keep their digits.

    Args:
        name: file name of the table.
    """
    if not (HERE / name).exists():
        return pd.DataFrame(columns=GENERATOR_COLUMNS)
    return pd.read_csv(HERE / name, dtype=str, keep_default_na=False)


def replace_rows(table: pd.DataFrame, rows: pd.DataFrame, generator: pd.Series) -> pd.DataFrame:
    """Replace the rows of one generator.

    Args:
        table: table of all generators.
        rows: new rows of the generator.
        generator: values of `GENERATOR_COLUMNS`.

    Returns:
        The table, sorted by dataset and category.
    """
    others = table[(table[GENERATOR_COLUMNS] != generator).any(axis="columns")]
    rows = pd.DataFrame(dict(generator), rows.index).join(rows)
    return pd.concat([others, rows]).sort_values(["dataset", "category"], kind="stable")


def draw(curves: pd.DataFrame) -> None:
    """Draw inversion gap and sample quality over the training steps. A dot marks the state that was stored."""
    figure, axes = plt.subplots(1, len(METRIC_LABELS), figsize=(10, 4), layout="constrained")
    for (dataset, category), rows in curves.groupby(["dataset", "category"]):
        values = rows[["step", *METRIC_LABELS]].astype(float)
        best = values.iloc[values["inversion_gap"].argmin()]
        for axis, metric in zip(axes, METRIC_LABELS, strict=True):
            (line,) = axis.plot(values["step"], values[metric], label=f"{dataset} {category}", linewidth=1)
            axis.plot(best["step"], best[metric], "o", color=line.get_color())
    for axis, label in zip(axes, METRIC_LABELS.values(), strict=True):
        axis.set(xlabel="generator steps", ylabel=label, yscale="log")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "figure.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
