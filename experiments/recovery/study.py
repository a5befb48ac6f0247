"""python experiments/recovery/study.py: do the restored image and the mask converge to the truth for λ → 0?

The paper claims this convergence for global minimisers. The study measures the errors on synthetic images x = G(z*)
with gross corruption, where z* and the true mask are known. A descent method only reaches the global minimiser from a
start near z*, or from the minimiser of a larger λ. The study has a grid of cells. A cell is a batch of images:

    all fractions, one λ   RGI, and two methods without a mask: least squares (L2) and least absolute deviations (L1)
    one fraction, all λ    RGI with a constant λ, and RGI with a decreasing λ (continuation)

All cells exist with two starts. The start `basin` is z* plus a little noise. The start `pool` does not depend on z*.
The study stores finished cells, so the same command continues a killed study. It takes about 20 minutes on one core.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from drawing import draw
from torch import Tensor
from tqdm import tqdm

from rgi import SolverConfig, invert, load_gan
from rgi.data.corruptions.fills import ENCODER_FILLS, fill
from rgi.data.corruptions.regions import regions
from rgi.generators.store import GAN

SUCCESS_RMSE = 0.02  # highest RMSE of a recovered image: 1 % of the data range [-1,1], invisible to the eye
REGION_SIZE = 8.0  # approximate size of a corrupted region in pixels
BASIN_NOISE = 0.1  # standard deviation of the noise that is added to z* for the start in the basin
# The length of Adam's first steps equals the learning rate. With the rate of the pool, they would leave the basin.
LEARNING_RATES = {"basin": 0.05, "pool": 0.2}
METHODS = {
    "rgi": {"mask": "profiled", "data_term": "l2"},
    "l2": {"mask": "none", "data_term": "l2"},
    "l1": {"mask": "none", "data_term": "l1"},
}
CELL_COLUMNS = ["fraction", "lambda", "method", "start", "continuation"]  # columns that identify a cell
Errors = dict[str, list[float]]  # values per image, by metric


@dataclass(frozen=True)
class Settings:
    """Settings of the study.

    Attributes:
        images: number of images of a cell.
        fractions: fractions of corrupted pixels, in (0, 1), of the cells with λ = `penalty`.
        penalties: values of λ of the cells with the corrupted fraction `fraction`; above 0, because λ = 0 masks all
            pixels.
        fraction: corrupted fraction of the cells with different λ.
        penalty: λ of the cells with different fractions.
        continuation_from: first λ of a continuation. Cells with a larger λ have no continuation. With 1 or 10, the
            first steps are almost least squares and lead to a wrong image.
        fill: values of the corrupted pixels, see `rgi.data.corruptions.fills.fill`.
        iterations: steps of an inversion.
    """

    images: int = 16
    fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    penalties: tuple[float, ...] = (10, 1, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
    fraction: float = 0.3
    penalty: float = 1e-3
    continuation_from: float = 0.1
    fill: str = "constant"
    iterations: int = 250


def main() -> None:
    """Run the study with the settings from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--generator", default="textures-brick-64", help="name of a shipped generator, or path of a .safetensors file"
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/recovery"), help="folder for tables and figure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fill", choices=ENCODER_FILLS, default=Settings.fill, help="values of the corrupted pixels")
    parser.add_argument(
        "--fractions", type=float, nargs="+", default=Settings.fractions, help="fractions of corrupted pixels"
    )
    parser.add_argument("--penalties", type=float, nargs="+", default=Settings.penalties, help="values of λ")
    given = parser.parse_args()
    gan = load_gan(given.generator).to("cuda" if torch.cuda.is_available() else "cpu")
    settings = Settings(fractions=tuple(given.fractions), penalties=tuple(given.penalties), fill=given.fill)
    run(gan, settings, given.output, given.seed)
    print(given.output / "figure.png")


@dataclass(frozen=True)
class Cell:
    """One batch of inversions.

    Attributes:
        method: method in `METHODS`.
        fraction: fraction of corrupted pixels.
        penalty: λ; None for methods without a mask.
        start: "basin" or "pool".
        continuation: whether λ decreases to `penalty`.
    """

    method: str
    fraction: float
    penalty: float | None
    start: str
    continuation: bool = False

    @property
    def name(self) -> str:
        """File name of the cell without its suffix."""
        parts = [self.method, f"{self.fraction}", self.start]
        parts += [] if self.penalty is None else [f"{self.penalty}"]
        return "_".join([*parts, "continued"] if self.continuation else parts)

    @property
    def columns(self) -> dict[str, Any]:
        """Values of `CELL_COLUMNS`. The column `lambda` is NaN for methods without a mask."""
        penalty = math.nan if self.penalty is None else float(self.penalty)
        values = (self.fraction, penalty, self.method, self.start, self.continuation)
        return dict(zip(CELL_COLUMNS, values, strict=True))


@dataclass(frozen=True)
class Truth:
    """True codes and images.

    Attributes:
        latent: z* (B,d).
        clean: images G(z*) (B,C,H,W).
        start: start in the basin, z* plus noise (B,d).
    """

    latent: Tensor
    clean: Tensor
    start: Tensor


def grid(settings: Settings) -> list[Cell]:
    """All cells of the grid without duplicates."""
    cells = []
    for start in LEARNING_RATES:
        for fraction in settings.fractions:
            cells.append(Cell("rgi", fraction, settings.penalty, start))
            cells += [Cell(method, fraction, None, start) for method in ("l2", "l1")]
        for penalty in settings.penalties:
            cells.append(Cell("rgi", settings.fraction, penalty, start))
            if penalty < settings.continuation_from:
                cells.append(Cell("rgi", settings.fraction, penalty, start, continuation=True))
    return list(dict.fromkeys(cells))


def sample(gan: GAN, images: int, seed: int) -> Truth:
    """Draw z* ~ N(0,1), and compute the images and the starts in the basins.

    Args:
        gan: GAN.
        images: number of images.
        seed: seed of z* and of the noise.
    """
    generator = _stream(seed, 1)
    latent, noise = torch.randn(2, images, gan.card.latent_dim, generator=generator)
    with torch.no_grad():
        clean = gan.generator(latent.to(gan.device)).cpu()
    return Truth(latent, clean, latent + BASIN_NOISE * noise)


def corrupt(truth: Truth, fraction: float, kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """Corrupt the clean images.

    The mask of a larger fraction contains the mask of a smaller fraction. The values of the corrupted pixels are the
    same for all fractions.

    Args:
        truth: true codes and images.
        fraction: fraction of corrupted pixels.
        kind: values of the corrupted pixels, see `rgi.data.corruptions.fills.fill`.
        seed: seed of regions and values.

    Returns:
        Observed images (B,C,H,W), and true masks (B,1,H,W) in {0,1}.
    """
    fractions = torch.full((len(truth.clean),), fraction)
    mask = regions(fractions, truth.clean.shape[-1], REGION_SIZE, _stream(seed, 2))
    return fill(truth.clean, mask, kind, _stream(seed, 3)), mask


def _stream(seed: int, use: int) -> torch.Generator:
    """Random generator for one use.

    The pool uses the seed itself. With the same random numbers, z* would be codes of the pool.
    """
    state = np.random.SeedSequence((use, seed)).generate_state(1)  # PyTorch uses 32 bits of a seed on a CPU
    return torch.Generator().manual_seed(int(state[0]))


def solver(cell: Cell, settings: Settings) -> SolverConfig:
    """Solver configuration of a cell."""
    penalty = cell.penalty or settings.penalty  # no effect without a mask
    return SolverConfig(
        **METHODS[cell.method],
        mask_penalty=float(penalty),
        continuation=settings.continuation_from / penalty if cell.continuation else 1.0,
        latent_start="given" if cell.start == "basin" else "pool",
        starts=1,
        lr_latent=LEARNING_RATES[cell.start],
        betas=(0.9, 0.99),
        iterations=settings.iterations,
        tolerance=None,
        precision="float32",
    )


def measure(gan: GAN, truth: Truth, cell: Cell, settings: Settings, seed: int, bar: tqdm) -> Errors:
    """Invert the images of a cell and measure the errors per image.

    Args:
        gan: GAN.
        truth: true codes and images.
        cell: cell of the grid.
        settings: settings of the study.
        seed: seed of corruption and pool.
        bar: progress bar, updated after each step.

    Returns:
        RMSE of the restored image over all pixels. For methods with a mask also the mean of abs(M - true mask).
    """
    observed, mask = corrupt(truth, cell.fraction, settings.fill, seed)
    config = solver(cell, settings)
    start = truth.start if cell.start == "basin" else None
    result = invert(gan, observed, config, latent_start=start, seed=seed, on_step=bar.update)
    errors = {"rmse": (result.restored.cpu() - truth.clean).square().mean((1, 2, 3)).sqrt().tolist()}
    if result.mask_optimised:
        errors["mask_error"] = (result.mask.cpu() - mask).abs().mean((1, 2, 3)).tolist()
    return errors


def measure_all(gan: GAN, settings: Settings, folder: Path, seed: int) -> dict[Cell, Errors]:
    """Measure all cells of the grid. Finished cells are read from their files.

    Args:
        gan: GAN.
        settings: settings of the study.
        folder: folder with one JSON file per finished cell.
        seed: seed of the study.
    """
    truth, cells = sample(gan, settings.images, seed), grid(settings)
    errors: dict[Cell, Errors] = {}
    steps = settings.images * settings.iterations  # steps of a cell
    with tqdm(total=len(cells) * steps, unit="step", mininterval=1) as bar:
        for number, cell in enumerate(cells, 1):
            bar.set_description(f"{number}/{len(cells)} {cell.name}")
            file = folder / f"{cell.name}.json"
            if file.exists():
                bar.update(steps)
            else:
                write_json(file, measure(gan, truth, cell, settings, seed, bar))
            errors[cell] = json.loads(file.read_text())
    return errors


def run(gan: GAN, settings: Settings, folder: Path, seed: int) -> None:
    """Run the study, and write the tables and the figure.

    Args:
        gan: GAN.
        settings: settings of the study.
        folder: folder that the files are written to.
        seed: seed of the study.

    Raises:
        SystemExit: the folder has a study with other settings.
    """
    cells = folder / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    study = json.loads(json.dumps({**dataclasses.asdict(settings), "seed": seed, "generator": gan.card.sha256}))
    file = folder / "study.json"
    if file.exists() and json.loads(file.read_text()) != study:
        sys.exit(f"error: {folder}: holds a study with other settings (see its study.json); name another --output")
    write_json(file, study)
    images = pd.concat(
        [
            pd.DataFrame({**cell.columns, "image": range(settings.images), **errors})
            for cell, errors in measure_all(gan, settings, cells, seed).items()
        ]
    )
    images.to_csv(folder / "per_image.csv", index=False)
    table = long_form(images, seed)
    table.to_csv(folder / "table.csv", index=False)
    draw(folder / "figure.png", table, settings.fraction, settings.penalty, settings.continuation_from, SUCCESS_RMSE)


def long_form(images: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Mean errors over images and share of recovered images.

    Args:
        images: one row per cell and image, with the columns `CELL_COLUMNS`, rmse and mask_error.
        seed: seed of the study for the column `seed`.

    Returns:
        One row per cell and metric.
    """
    scored = images.assign(success_rate=(images["rmse"] < SUCCESS_RMSE).astype(float))
    means = (
        scored.groupby(CELL_COLUMNS, sort=False, dropna=False)[["rmse", "mask_error", "success_rate"]]
        .mean()
        .reset_index()
    )
    table = means.melt(CELL_COLUMNS, var_name="metric", value_name="value", ignore_index=False).sort_index(
        kind="stable"
    )
    return (
        table.dropna(subset="value")
        .assign(seed=seed)[[*CELL_COLUMNS, "metric", "seed", "value"]]
        .reset_index(drop=True)
    )


def write_json(path: Path, content: object) -> None:
    """Write a JSON file. The file appears only when it is complete."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)


if __name__ == "__main__":
    main()
