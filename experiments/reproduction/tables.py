"""python experiments/reproduction/tables.py: print the tables of the README from the CSV files."""

from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
PAPER, OURS = "published", "ours"
NAMES = {
    "yeh": "Yeh",
    "yeh_masked": "Yeh, mask given",
    "pan": "Pan",
    "pan_masked": "Pan, mask given",
    "anogan": "AnoGAN",
    "rgi": "RGI",
    "r_rgi": "R-RGI",
}
METRICS = [  # file, protocol, metric, digits
    ("faces.csv", "standard", "psnr", 1),
    ("faces.csv", "standard", "psnr_hole", 1),
    ("faces.csv", "reference", "psnr", 1),
    ("tiles.csv", "standard", "pixel_auroc", 3),
    ("tiles.csv", "standard", "pixel_ap", 3),
    ("tiles.csv", "reference", "auroc", 3),
    ("tiles.csv", "reference", "dice", 3),
    *(
        (file, "", f"{cost}_per_image", digits)
        for file in ("faces.csv", "tiles.csv")
        for cost, digits in (("seconds", 1), ("evaluations", 0))
    ),
]


def scores(file: str, protocol: str, metric: str, digits: int) -> pd.DataFrame:
    """One metric as text: a row for each flavour and method, a column for each corruption.

    A cell is the mean of the seeds, ± half of their range.
    """
    table = pd.read_csv(HERE / file, dtype=str, keep_default_na=False)
    table = table[(table["protocol"] == protocol) & (table["metric"] == metric)]
    short = table["method"].str.removeprefix("reference_")
    place = [
        table["method"].str.startswith("reference_").map({True: PAPER, False: OURS}).rename("flavour"),
        pd.Categorical(short.map(NAMES), NAMES.values()),
        table["corruption"].str.removeprefix("reference/").str.removeprefix("painted_").replace("", "real"),
    ]

    def cell(values: pd.Series) -> str:
        spread = f" ± {(values.max() - values.min()) / 2:.{digits}f}" if len(values) > 1 else ""
        return f"{values.mean():.{digits}f}{spread}"

    cells = table["value"].astype(float).groupby(place, observed=True).agg(cell).unstack(fill_value="")
    return cells.sort_index(level=0, ascending=False, sort_remaining=False)


def shown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    head = ["", "", *table.columns]
    lines = [head, ["---"] * len(head), *([*name, *row] for name, row in table.iterrows())]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def departures() -> str:
    """Mean scores of each variant, and the mean difference to the published procedure ± its standard error."""
    table, blocks = pd.read_csv(HERE / "departures.csv"), []
    for method, part in table.groupby("method", sort=False):
        base = part[part["variant"] == "published"].set_index("image")
        head = ["variant", "whole image", "change", "hole", "change", "seconds", "evaluations"]
        lines = [head, ["---"] * len(head)]
        for variant, rows in part.groupby("variant", sort=False):
            rows, cells = rows.set_index("image"), []
            for metric in ("psnr", "psnr_hole"):
                change = rows[metric] - base[metric]
                text = "" if variant == "published" else f"{change.mean():+.2f} ± {change.sem():.2f}"
                cells += [f"{rows[metric].mean():.2f}", text]
            lines.append([variant, *cells, f"{rows['seconds'].mean():.1f}", f"{rows['evaluations'].mean():.0f}"])
        blocks.append(f"departures.csv, {method}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(blocks)


def main() -> None:
    """Print all tables."""
    for file, protocol, metric, digits in METRICS:
        print(f"{file}, {protocol} {metric}\n\n{shown(scores(file, protocol, metric, digits))}\n")
    print(departures())


if __name__ == "__main__":
    main()
