"""python experiments/optimiser/positions.py: compare λ as a number with λ for each position, on eight datasets.

One half of the held-out clean images gives the residuals from which both follow. The other half is painted with
defects, or gets holes. RGI and R-RGI of the experiments restore them, and test images with real defects. The script
writes positions.csv row by row, and skips the rows that it holds.
"""

import argparse
import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from omegaconf import DictConfig
from tqdm import tqdm

from rgi import invert, load_gan
from rgi.app.grid import CORRUPTIONS, compose
from rgi.app.options import make, solver_config
from rgi.data.batch import Batch
from rgi.data.protocol import evenly_spaced, selected, stack_images
from rgi.evaluation.clean_images import PAINTED
from rgi.evaluation.clean_residuals import CALIBRATION_IMAGES, CleanResiduals, scaled_residuals
from rgi.evaluation.held_out import painted_tests
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.metrics.curves import auroc, levels
from rgi.metrics.standard import psnr

HERE = Path(__file__).resolve().parent
DEFECTS = {  # name in the table: experiments without the method, options of the dataset, and generator
    "brick": ("textures", ["dataset.category=brick"], "textures-brick-64"),
    "tile": ("magnetic_tile", [], "magnetic_tile-tile-64"),
    "tile, 128 pixels": ("magnetic_tile", ["dataset.resolution=128"], "magnetic_tile-tile-128"),
    "screw": ("mvtec", [], "mvtec_ad-screw-64"),
    "grass": ("textures", ["dataset.category=grass"], "textures-grass-64"),
    "gravel": ("textures", ["dataset.category=gravel"], "textures-gravel-64"),
}
HOLES = {  # name in the table: experiments without corruption and method, and generator
    "faces": ("celeba", "celeba-faces-64"),
    "cars": ("stanford_cars", "stanford_cars-cars-64"),
    "bedrooms": ("lsun_bedroom", "lsun_bedroom-bedrooms-64"),
}
METHODS = ("rgi", "rrgi")
IMAGES = 64  # highest number of images in a row
GRIDS = (1, 8, 16, 32)  # height and width of the grid of positions; in one cell, λ is a number
KEYS = ["set", "images", "method", "grid"]
Case = tuple[str, str, str, int]  # a row of the table: the columns `KEYS`


def main() -> None:
    """Run the cases that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=[*DEFECTS, *HOLES])
    parser.add_argument("--table", type=Path, default=HERE / "positions.csv")
    given = parser.parse_args()
    table = pd.read_csv(given.table) if given.table.exists() else pd.DataFrame(columns=[*KEYS, "metric", "value"])
    for name in given.sets:
        for method in METHODS:
            wanted = [case for case in cases(name, method) if not (table[KEYS] == list(case)).all(axis="columns").any()]
            if not wanted:
                continue
            gan, cfg = load_gan((DEFECTS | HOLES)[name][-1]), configuration(name, method, CORRUPTIONS[0])
            card, measured = gan.card, residuals_of(gan, cfg)
            for case in tqdm(wanted, desc=f"{name}, {method}"):
                gan.card = replace(card, **measured[case[3]]._asdict())
                cfg = configuration(name, method, case[1])
                for metric, value in scores(gan, name, case[1], cfg, solver(cfg)).items():
                    table.loc[len(table)] = [*case, metric, round(value, 4)]
                table.to_csv(given.table, index=False)


def cases(name: str, method: str) -> Iterator[Case]:
    """All rows of a set and a method."""
    for images in ("painted", "test") if name in DEFECTS else CORRUPTIONS:
        for grid in GRIDS:
            yield name, images, method, grid


def configuration(name: str, method: str, corruption: str) -> DictConfig:
    """The configuration of an experiment; the corruption is that of a set with holes."""
    if name in DEFECTS:
        prefix, options, _ = DEFECTS[name]
        return compose(f"experiment={prefix}_{method}", *options)
    return compose(f"experiment={HOLES[name][0]}_{corruption}_{method}")


def solver(cfg: DictConfig) -> SolverConfig:
    """The method of a configuration."""
    return solver_config(cfg.solver, "", "invert")


def residuals_of(gan: GAN, cfg: DictConfig) -> dict[int, CleanResiduals]:
    """The residuals of the first half of the held-out images, by grid."""
    images = make(cfg, "dataset")
    held_out = images.validation()
    clean = stack_images(selected(held_out, list(range(len(held_out) // 2))), CALIBRATION_IMAGES)
    found = invert(gan, clean, solver(cfg).replace(mask="none", tune_generator=False, latent_weight=0.0))
    residuals = (found.observed - found.restored).abs().double()
    inside = torch.ones(residuals.shape[-2:], dtype=torch.bool) if images.counted is None else images.counted[0] != 0
    return {grid: scaled_residuals(residuals, inside, grid) for grid in GRIDS}


def scores(gan: GAN, name: str, kind: str, cfg: DictConfig, config: SolverConfig) -> dict[str, float]:
    """The metrics of a row.

    Args:
        gan: generator.
        name: name of the set.
        kind: ``test``, ``painted`` or a corruption.
        cfg: configuration of the experiment.
        config: method.
    """
    images = make(cfg, "dataset")
    if kind == "test":
        tests = images.test()
        batch = Batch.collate([tests[i] for i in evenly_spaced(len(tests), IMAGES)])
    else:
        held_out = images.validation()
        others = copy.copy(images)
        others.validation = lambda: selected(held_out, list(range(len(held_out) // 2, len(held_out))))
        part = painted_tests(others, PAINTED if name in DEFECTS else make(cfg, "corruption"), IMAGES)
        batch = Batch.collate([part[i] for i in range(len(part))])
    found = invert(gan, batch.observed, config)
    if name in HOLES:
        return {"psnr": psnr(found.restored, batch.clean).mean().item()}
    inside = torch.ones(batch.mask.shape[-2:], dtype=torch.bool) if images.counted is None else images.counted[0] != 0
    truth = batch.mask[:, 0, inside]
    return {
        f"pixel_auroc_{shown}": auroc(*levels(found.anomaly_map(shown, sigma=1)[:, inside], truth)[1:]).item()
        for shown in ("residual", "mask")
    }


if __name__ == "__main__":
    main()
