"""python experiments/optimiser/penalty.py: compare `mask_penalty: auto` with the best λ.

The script runs RGI and R-RGI on test images of bricks and magnetic tiles, with λ at multiples of the automatic λ. The
kind "uneven" is left out, because its masks cover most of a tile. The script writes penalty.csv. In practice the best λ
is unknown, because it depends on the true masks.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from tqdm import tqdm

from rgi import invert, load_gan
from rgi.app import grid
from rgi.app.options import solver_config
from rgi.data.batch import Batch
from rgi.data.sets.magnetic_tile import MagneticTile
from rgi.data.sets.textures import Textures
from rgi.inversion.automatic import penalty
from rgi.metrics.standard import PixelCurve

HERE = Path(__file__).parent
CONF = HERE.parents[1] / "conf"
FACTORS = (1 / 16, 1 / 4, 1 / 2, 1, 2, 4)  # λ over the automatic λ
MAPS = (("mask", 0.0), ("residual", 1.0))  # kind and smoothing in pixels
COLUMNS = ["dataset", "method", "map", "factor", "penalty", "metric", "seed", "value"]


def main() -> None:
    """Run the study, write the table and print the automatic and the best λ."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiles", default="data/magnetic_tile", help="root of the magnetic tiles")
    parser.add_argument("--datasets", nargs="+", default=["textures", "magnetic_tile"])
    arguments = parser.parse_args()
    sets = [
        ("textures-brick-64", Textures("brick", test_images=40)),
        ("magnetic_tile-tile-64", MagneticTile(arguments.tiles, 64, 1, images_per_kind=8)),
    ]
    sets = [(name, images) for name, images in sets if images.name in arguments.datasets]
    grid.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        solvers = {
            name: solver_config(compose("config", [f"solver={name}"]).solver, name, "invert")
            for name in ("rgi", "r_rgi")
        }
    rows = []
    runs = [(dataset, method, factor) for dataset in sets for method in solvers for factor in FACTORS]
    for (name, images), method, factor in tqdm(runs):
        gan, tests = load_gan(name), images.test()
        batch = Batch.collate([tests[i] for i, test in enumerate(tests.names) if not test.startswith("uneven/")])
        automatic = penalty(solvers[method].replace(mask_penalty="auto"), gan)
        result = invert(gan, batch.observed, solvers[method].replace(mask_penalty=factor * automatic))
        for kind, sigma in MAPS:
            curve = PixelCurve()
            curve.update(result.anomaly_map(kind, sigma), batch.mask)
            scores = curve.compute()
            for metric in ("pixel_auroc", "best_f1"):
                value = float(torch.as_tensor(scores[metric]))
                rows.append([images.name, method, kind, factor, factor * automatic, metric, 0, f"{value:.5f}"])
    table, file = pd.DataFrame(rows, columns=COLUMNS, dtype=object), HERE / "penalty.csv"
    if file.exists():
        old = pd.read_csv(file, dtype=str)
        table = pd.concat([old[~old["dataset"].isin(arguments.datasets)], table])
    table.to_csv(file, index=False)
    for place, each in table.groupby(["dataset", "method", "map", "metric"], sort=False):
        values = each.astype({"factor": float, "value": float}).set_index("factor")["value"]
        best = values.idxmax()
        print(f"{' '.join(place)}: auto {values[1]:.3f}, best {values[best]:.3f} at {best:g} times its λ")


if __name__ == "__main__":
    main()
