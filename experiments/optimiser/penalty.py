"""python experiments/optimiser/penalty.py: is `mask_penalty: auto` as good as the best λ, which nobody knows?

RGI and R-RGI on test images of bricks and magnetic tiles, at multiples of the automatic λ. The kind "uneven" is left
out: its masks cover most of a tile. Writes penalty.csv.
"""

import argparse
import csv
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from tqdm import tqdm

from rgi import invert, load_gan
from rgi.app.options import solver_config
from rgi.data.batch import Batch
from rgi.data.sets.magnetic_tile import MagneticTile
from rgi.data.sets.textures import Textures
from rgi.inversion.problem import penalty
from rgi.metrics.standard import PixelCurve

HERE = Path(__file__).parent
CONF = HERE.parents[1] / "conf"
FACTORS = (1 / 16, 1 / 4, 1 / 2, 1, 2, 4)
MAPS = (("mask", 0.0), ("residual", 1.0))
COLUMNS = ("dataset", "method", "map", "factor", "penalty", "metric", "seed", "value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiles", default="data/magnetic_tile", help="root of the magnetic tiles")
    parser.add_argument("--datasets", nargs="+", default=["textures", "magnetic_tile"])
    arguments = parser.parse_args()
    sets = [
        ("textures-brick-64", Textures("brick", test_images=40)),
        ("magnetic_tile-tile-64", MagneticTile(arguments.tiles, 64, 1, images_per_kind=8)),
    ]
    sets = [(name, images) for name, images in sets if images.name in arguments.datasets]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        solvers = {
            name: solver_config(compose("config", [f"solver={name}"]).solver, name, "invert")
            for name in ("rgi", "r_rgi")
        }
    table = HERE / "penalty.csv"
    rows = []
    if table.exists():
        with table.open(newline="") as file:
            rows = [row for row in list(csv.reader(file))[1:] if row[0] not in arguments.datasets]
    runs = [(dataset, method, factor) for dataset in sets for method in solvers for factor in FACTORS]
    for (name, images), method, factor in tqdm(runs):
        gan, tests = load_gan(name), images.test()
        batch = Batch.collate([tests[i] for i, test in enumerate(tests.names) if not test.startswith("uneven/")])
        automatic = penalty(solvers[method].replace(mask_penalty="auto"), gan)
        found = invert(gan, batch.observed, solvers[method].replace(mask_penalty=factor * automatic))
        for kind, sigma in MAPS:
            curve = PixelCurve()
            curve.update(found.anomaly_map(kind, sigma), batch.mask)
            scores = curve.compute()
            for metric in ("pixel_auroc", "best_f1"):
                value = float(torch.as_tensor(scores[metric]))
                rows.append([images.name, method, kind, factor, factor * automatic, metric, 0, f"{value:.5f}"])
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    for place in dict.fromkeys((*row[:3], row[5]) for row in rows):
        values = {float(row[3]): float(row[7]) for row in rows if (*row[:3], row[5]) == place}
        best = max(values, key=values.get)
        print(f"{' '.join(place)}: auto {values[1]:.3f}, best {values[best]:.3f} at {best:g} times its λ")


if __name__ == "__main__":
    main()
