"""python experiments/robustness/hold.py: what θ must not learn, by quantile and share, and how fast it should move.

R-RGI inverts clean test images with painted blobs, with several values of `hold_quantile`, `mask_hold` and
`lr_generator`. The script writes hold.csv. It does not compute rows that are already in this file.
"""

import argparse
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score
from study import SETS, SIGMA, clean_images, painted
from tqdm import tqdm

from rgi import invert, load_gan
from rgi.app.grid import compose
from rgi.app.options import make, solver_config

HERE = Path(__file__).resolve().parent
BLOBS = ((0.02, 0.5), (0.02, 2.0), (0.08, 1.0), (0.08, 2.0), (0.16, 1.0), (0.16, 2.0), (0.16, 4.0))  # area, contrast
RATE = 2.5e-4
HELD = (  # hold_quantile, mask_hold, lr_generator
    (0.99, None, RATE),
    (0.99, 0.3, RATE),
    (0.95, 0.4, RATE),
    (0.95, 0.5, RATE),
    (0.9, 0.6, RATE),
    (0.9, 0.5, RATE),
    (0.9, 0.5, 2 * RATE),
)
IMAGES = 8
OPTIONS = ["hold_quantile", "mask_hold", "lr_generator"]
KEYS = ["set", "method", *OPTIONS]


def main() -> None:
    """Run the rows that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--table", type=Path, default=HERE / "hold.csv")
    arguments = parser.parse_args()
    table = pd.DataFrame(columns=[*KEYS, "area", "contrast", "pixel_auroc"])
    if arguments.table.exists():
        table = pd.read_csv(arguments.table, keep_default_na=False, dtype=dict.fromkeys(KEYS, str))
    methods = {
        name: solver_config(compose(f"experiment=mvtec_{name}").solver, name, "invert") for name in ("rgi", "rrgi")
    }
    rows = [("rgi", {}), *(("rrgi", dict(zip(OPTIONS, held, strict=True))) for held in HELD)]
    for name in arguments.sets:
        dataset, generator = SETS[name]
        clean, gan = clean_images(make(compose(*dataset), "dataset"), IMAGES), load_gan(generator)
        for method, options in tqdm(rows, desc=name):
            key = [name, method, *(str(options.get(option)) for option in OPTIONS)]
            if (table[KEYS] == key).all(axis="columns").any():
                continue
            config = methods[method].replace(**options)
            for area, contrast in BLOBS:
                observed, masks = painted(clean, area, contrast)
                scores = invert(gan, observed, config).anomaly_map("residual", sigma=SIGMA)
                score = roc_auc_score(masks.flatten(), scores.flatten())
                table.loc[len(table)] = [*key, area, contrast, round(score, 4)]
            table.to_csv(arguments.table, index=False)


if __name__ == "__main__":
    main()
