"""python experiments/inpainting/study.py: choose the hyperparameters of the inpainting methods on validation images.

Each method has a small grid of options. For RGI and R-RGI, the grid has the quantile that determines λ, and the closing
of the mask. For R-RGI and Pan, it has the learning rate of the weights. The images are a few clean validation images of
each dataset with each corruption. No result table uses these images. The script writes study.csv. It does not compute
cells that are already in this file.
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
CELL_COLUMNS = ["dataset", "corruption", "method", "options"]  # columns that identify a cell


def grid() -> list[tuple[str, dict[str, object]]]:
    """All cells of the grid: method, and options that differ from the experiment."""
    masks = [
        {"mask_shape": "pixel", "clean_quantile": quantile, "mask_closing": closing}
        for quantile, closing in product(QUANTILES, CLOSINGS)
    ]
    cells = [("yeh", {}), ("yeh_masked", {})]
    cells += [(method, {"lr_generator": rate}) for method in ("pan", "pan_masked") for rate in RATES]
    cells += [("rgi", options) for options in ({"mask_shape": "channel", "clean_quantile": 0.9}, *masks)]
    cells += [("rrgi", options | {"lr_generator": RATES[1]}) for options in masks]
    return [*cells, ("rrgi", masks[6] | {"lr_generator": RATES[0]})]


def corrupted_batch(cfg: DictConfig, images: ImageSet, count: int) -> Batch:
    """Batch of corrupted validation images.

    Args:
        cfg: configuration of an experiment with a corruption.
        images: dataset.
        count: number of images, evenly spaced among the validation images.
    """
    clean, corruption = images.validation(), make(cfg, "corruption")
    parts = []
    for i in range(count):
        name, image = f"{i:03d}", clean[i * len(clean) // count][None]
        observed, mask = corruption(image, name, images.validation)
        parts.append(Batch(observed, mask, image, [name], [images.category]))
    return Batch.collate(parts)


def main() -> None:
    """Run the cells that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=list(GENERATORS))
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--table", type=Path, default=HERE / "study.csv")
    arguments = parser.parse_args()
    experiments.register()
    table = pd.DataFrame(columns=[*CELL_COLUMNS, "metric", "value"])
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
                batch, gan = corrupted_batch(cfg, images, arguments.images), load_gan(GENERATORS[dataset])
                for method, options in tqdm(grid(), desc=f"{dataset} {corruption}"):
                    cell = [dataset, corruption, method, " ".join(f"{name}={value}" for name, value in options.items())]
                    if (table[CELL_COLUMNS] == cell).all(axis="columns").any():
                        continue
                    result = invert(
                        gan, batch.observed, solver_of_experiment(dataset, corruption, method, options), batch.mask
                    )
                    scores = {
                        "psnr": psnr(result.restored, batch.clean),
                        "psnr_hole": psnr_hole(result.restored, batch.clean, batch.mask),
                    }
                    rows = [[*cell, metric, f"{torch.mean(value):.3f}"] for metric, value in scores.items()]
                    table = pd.concat([table, pd.DataFrame(rows, columns=table.columns)])
                    table.to_csv(arguments.table, index=False)


def solver_of_experiment(dataset: str, corruption: str, method: str, options: dict[str, object]) -> SolverConfig:
    """Solver configuration of an experiment with changed options.

    Args:
        dataset: name of the dataset in the experiment.
        corruption: name of the corruption in the experiment.
        method: name of the method in the experiment.
        options: fields of `SolverConfig` that replace the options of the experiment.
    """
    cfg = compose("config", [f"experiment={dataset}_{corruption}_{method}"])
    return solver_config(cfg.solver, method, "invert").replace(**options)


if __name__ == "__main__":
    main()
