"""python experiments/recovery/study.py: with λ → 0, do the restored image and the mask tend to the truth?

The paper claims that they do. On x = G(z*) with a fraction of its pixels grossly corrupted everything is known, so
errors can be measured. The claim is about global minimisers. A descent method reaches them only from a start that lies
near enough, or from where a larger λ has led it. The cells of a grid show where that happens. A cell is a batch of
images:

    every fraction, one λ   RGI, and without a mask least squares (L2) and least absolute deviations (L1)
    one fraction, every λ   RGI with λ fixed, and with λ falling from a larger value (continuation)

All of them start from the `basin`, z* plus a little noise, and from the `pool`, which needs no knowledge of z*. The
finished cells are kept: the same command continues a killed study. About 20 minutes on one core.
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

SUCCESS = 0.02  # RMSE in image units: 1 % of [-1, 1], a tenth of the deviation of brick patches; not told apart by eye
GRAIN = 8.0  # pixels, of the corrupted regions
NOISE = 0.1  # standard deviation of what is added to z* in the basin
# Adam's first steps are as long as its rate, and at the pool's rate they would lead out of the basin.
RATES = {"basin": 0.05, "pool": 0.2}
METHODS = {
    "rgi": {"mask": "profiled", "data_term": "l2"},
    "l2": {"mask": "none", "data_term": "l2"},
    "l1": {"mask": "none", "data_term": "l1"},
}
KEYS = ["fraction", "lambda", "method", "start", "continuation"]  # columns that name a cell
Errors = dict[str, list[float]]  # of a cell: by metric, one value per image


@dataclass(frozen=True)
class Settings:
    """What is tried.

    Attributes:
        images: how many z* are drawn.
        fractions: of corrupted pixels, at `penalty`; in (0, 1).
        penalties: λ of RGI, at `fraction`; above 0, since λ = 0 masks everything.
        fraction, penalty: where the two lines of the grid cross.
        continuation_from: the λ that a continuation begins at; a larger λ has none. From 1 or 10, least squares leads
            astray.
        fill: what replaces the pixels, see `rgi.data.corruptions.fills.fill`.
        iterations: steps of each inversion.
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
    """Run the study on the command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="textures-brick-64", help="shipped name, or path of a .safetensors file")
    parser.add_argument("--output", type=Path, default=Path("outputs/recovery"), help="folder for tables and figure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fill", choices=ENCODER_FILLS, default=Settings.fill, help="what replaces the corrupted pixels"
    )
    parser.add_argument("--fractions", type=float, nargs="+", default=Settings.fractions, help="of corrupted pixels")
    parser.add_argument("--penalties", type=float, nargs="+", default=Settings.penalties, help="values of λ")
    given = parser.parse_args()
    gan = load_gan(given.generator).to("cuda" if torch.cuda.is_available() else "cpu")
    settings = Settings(fractions=tuple(given.fractions), penalties=tuple(given.penalties), fill=given.fill)
    run(gan, settings, given.output, given.seed)
    print(given.output / "figure.png")


@dataclass(frozen=True)
class Cell:
    """One batch of inversions; `penalty` is None for the methods without a mask."""

    method: str
    fraction: float
    penalty: float | None
    start: str
    continuation: bool = False

    @property
    def name(self) -> str:
        """Names its file."""
        parts = [self.method, f"{self.fraction}", self.start]
        parts += [] if self.penalty is None else [f"{self.penalty}"]
        return "_".join([*parts, "continued"] if self.continuation else parts)

    @property
    def columns(self) -> dict[str, Any]:
        """Of the tables; the column `lambda` is empty for the methods without a mask."""
        penalty = math.nan if self.penalty is None else float(self.penalty)
        values = (self.fraction, penalty, self.method, self.start, self.continuation)
        return dict(zip(KEYS, values, strict=True))


@dataclass(frozen=True)
class Truth:
    """What is to be recovered, and the start in its basin: z* (B,d), G(z*) (B,C,H,W), z* and noise (B,d)."""

    latent: Tensor
    clean: Tensor
    start: Tensor


def grid(settings: Settings) -> list[Cell]:
    """All cells, each once."""
    cells = []
    for start in RATES:
        for fraction in settings.fractions:
            cells.append(Cell("rgi", fraction, settings.penalty, start))
            cells += [Cell(method, fraction, None, start) for method in ("l2", "l1")]
        for penalty in settings.penalties:
            cells.append(Cell("rgi", settings.fraction, penalty, start))
            if penalty < settings.continuation_from:
                cells.append(Cell("rgi", settings.fraction, penalty, start, continuation=True))
    return list(dict.fromkeys(cells))


def sample(gan: GAN, images: int, seed: int) -> Truth:
    """z* ~ N(0,1), their images, and starts in their basins."""
    generator = _stream(seed, 1)
    latent, noise = torch.randn(2, images, gan.card.latent_dim, generator=generator)
    with torch.no_grad():
        clean = gan.generator(latent.to(gan.device)).cpu()
    return Truth(latent, clean, latent + NOISE * noise)


def corrupt(truth: Truth, fraction: float, kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """Observed images (B,C,H,W) and true masks (B,1,H,W).

    The regions of a larger fraction hold those of a smaller one, and the filling is the same.
    """
    fractions = torch.full((len(truth.clean),), fraction)
    mask = regions(fractions, truth.clean.shape[-1], GRAIN, _stream(seed, 2))
    return fill(truth.clean, mask, kind, _stream(seed, 3)), mask


def _stream(seed: int, use: int) -> torch.Generator:
    """Randomness for one use. The pool's comes from the seed itself: shared, z* would be members of the pool."""
    state = np.random.SeedSequence((use, seed)).generate_state(1)  # of a seed PyTorch's CPU takes 32 bits
    return torch.Generator().manual_seed(int(state[0]))


def solver(cell: Cell, settings: Settings) -> SolverConfig:
    """The inversion of a cell."""
    penalty = cell.penalty or settings.penalty  # ignored without a mask
    return SolverConfig(
        **METHODS[cell.method],
        mask_penalty=float(penalty),
        continuation=settings.continuation_from / penalty if cell.continuation else 1.0,
        latent_start="given" if cell.start == "basin" else "pool",
        starts=1,
        lr_latent=RATES[cell.start],
        betas=(0.9, 0.99),
        iterations=settings.iterations,
    )


def measure(gan: GAN, truth: Truth, cell: Cell, settings: Settings, seed: int, bar: tqdm) -> Errors:
    """Per image: the RMSE of the restored image over all pixels, and mean abs(M - true mask) where there is an M."""
    observed, mask = corrupt(truth, cell.fraction, settings.fill, seed)
    config = solver(cell, settings)
    start = truth.start if cell.start == "basin" else None
    result = invert(gan, observed, config, latent_start=start, seed=seed, on_step=bar.update)
    errors = {"rmse": (result.restored.cpu() - truth.clean).square().mean((1, 2, 3)).sqrt().tolist()}
    if result.mask_optimised:
        errors["mask_error"] = (result.mask.cpu() - mask).abs().mean((1, 2, 3)).tolist()
    return errors


def measure_all(gan: GAN, settings: Settings, folder: Path, seed: int) -> dict[Cell, Errors]:
    """Measure the whole grid; a cell whose file is in ``folder`` is read back instead."""
    truth, cells = sample(gan, settings.images, seed), grid(settings)
    errors: dict[Cell, Errors] = {}
    steps = settings.images * settings.iterations  # of a cell
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
    """Measure, and write the tables and the figure."""
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
    draw(folder / "figure.png", table, settings.fraction, settings.penalty, settings.continuation_from, SUCCESS)


def long_form(images: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Means over the images and the share of recovered images: one row for each cell and metric.

    Args:
        images: one row for each cell and image.
        seed: of the study, a column of the table.
    """
    scored = images.assign(success_rate=(images["rmse"] < SUCCESS).astype(float))
    means = scored.groupby(KEYS, sort=False, dropna=False)[["rmse", "mask_error", "success_rate"]].mean().reset_index()
    table = means.melt(KEYS, var_name="metric", value_name="value", ignore_index=False).sort_index(kind="stable")
    return table.dropna(subset="value").assign(seed=seed)[[*KEYS, "metric", "seed", "value"]].reset_index(drop=True)


def write_json(path: Path, content: object) -> None:
    """Write a whole file or none."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)


if __name__ == "__main__":
    main()
