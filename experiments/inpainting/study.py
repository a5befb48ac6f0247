"""python experiments/inpainting/study.py: how much to mask, and how far to tune, chosen on images that no table shows.

Every method gets its own small grid, on a few held-out clean images of every set under every corruption: R-RGI and RGI
over the quantile that λ is set from and the closing of the mask, R-RGI and Pan over the rate of the weights. Writes
study.csv; cells that it holds already stay as they are.
"""

import argparse
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tqdm import tqdm

from rgi import invert, load_gan
from rgi.app import grid as experiments
from rgi.app.options import make, solver_config
from rgi.data.batch import Batch
from rgi.data.protocol import ImageSet
from rgi.inversion.config import SolverConfig
from rgi.metrics.standard import psnr, psnr_hole

HERE = Path(__file__).resolve().parent
CONF = HERE.parents[1] / "conf"
GENERATORS = {
    "celeba": "celeba-faces-64",
    "stanford_cars": "stanford_cars-cars-64",
    "lsun_bedroom": "lsun_bedroom-bedrooms-64",
}
QUANTILES = (0.9, 0.95)
CLOSINGS = (None, 0.75, 0.8, 0.9)
RATES = (5e-4, 1e-3)
CELL = ["dataset", "corruption", "method", "options"]


def grid() -> list[tuple[str, dict[str, object]]]:
    """Method and changed options of every cell."""
    masks = [
        {"mask_shape": "pixel", "clean_quantile": quantile, "mask_closing": closing}
        for quantile, closing in product(QUANTILES, CLOSINGS)
    ]
    cells = [("yeh", {}), ("yeh_masked", {})]
    cells += [(method, {"lr_generator": rate}) for method in ("pan", "pan_masked") for rate in RATES]
    cells += [("rgi", options) for options in ({"mask_shape": "channel", "clean_quantile": 0.9}, *masks)]
    cells += [("rrgi", options | {"lr_generator": RATES[1]}) for options in masks]
    return [*cells, ("rrgi", masks[6] | {"lr_generator": RATES[0]})]


def corrupted(cfg: DictConfig, images: ImageSet, count: int) -> Batch:
    """Validation images, evenly spread, with the corruption of an experiment."""
    clean, corruption = images.validation(), make(cfg, "corruption")
    parts = []
    for i in range(count):
        name, image = f"{i:03d}", clean[i * len(clean) // count][None]
        observed, mask = corruption(image, name, images.validation)
        parts.append(Batch(observed, mask, image, [name], [images.category]))
    return Batch.collate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=list(GENERATORS))
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--table", type=Path, default=HERE / "study.csv")
    arguments = parser.parse_args()
    experiments.register()
    table = pd.DataFrame(columns=[*CELL, "metric", "value"])
    if arguments.table.exists():
        table = pd.read_csv(arguments.table, dtype=str, keep_default_na=False)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for dataset in arguments.datasets:
            images = None
            for corruption in experiments.CORRUPTIONS:
                cfg = compose("config", [f"experiment={dataset}_{corruption}_rgi"])
                if images is None:
                    images = make(cfg, "dataset")
                    images.prepare()
                batch, gan = corrupted(cfg, images, arguments.images), load_gan(GENERATORS[dataset])
                for method, options in tqdm(grid(), desc=f"{dataset} {corruption}"):
                    cell = [dataset, corruption, method, " ".join(f"{name}={value}" for name, value in options.items())]
                    if (table[CELL] == cell).all(axis="columns").any():
                        continue
                    found = invert(gan, batch.observed, configured(dataset, corruption, method, options), batch.mask)
                    scores = {
                        "psnr": psnr(found.restored, batch.clean),
                        "psnr_hole": psnr_hole(found.restored, batch.clean, batch.mask),
                    }
                    rows = [[*cell, metric, f"{torch.mean(value):.3f}"] for metric, value in scores.items()]
                    table = pd.concat([table, pd.DataFrame(rows, columns=table.columns)])
                    table.to_csv(arguments.table, index=False)


def configured(dataset: str, corruption: str, method: str, options: dict[str, object]) -> SolverConfig:
    """The experiment's method, with these options in place of its own."""
    cfg = compose("config", [f"experiment={dataset}_{corruption}_{method}"])
    return solver_config(cfg.solver, method, "invert").replace(**options)


if __name__ == "__main__":
    main()
