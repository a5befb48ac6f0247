"""The paper's claim, put to the test: with λ → 0 the restored image and the mask tend to the truth.

On x = G(z*) with a fraction of its pixels grossly corrupted everything is known, so that errors can be measured. The
claim is about global minimisers; a descent method reaches them only from a start that lies near enough, or that a
larger λ leads there. Cells of a grid, each a whole batch of images, show where that happens:

    every fraction, one λ   RGI, and without a mask least squares (L2) and least absolute deviations (L1)
    one fraction, every λ   RGI with λ fixed, and with λ falling from a larger value (continuation)

all of them from the `basin`, z* and a little noise, and from the `pool`, which is what can be had without knowing z*.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rgi import runs
from rgi.data.corruption import FILLS, fill, regions
from rgi.errors import InputError
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert
from rgi.record import write_table
from rgi.report.recovery import draw

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
Errors = dict[str, list[float]]  # of a cell: by metric, one value per image


@dataclass(frozen=True)
class Settings:
    """What is tried.

    Attributes:
        images: how many z* are drawn.
        fractions: of corrupted pixels, at `penalty`.
        penalties: λ of RGI, at `fraction`.
        fraction, penalty: where the two lines of the grid cross.
        continuation_from: the λ that a continuation begins at; what is larger has none.
        fill: what replaces the pixels, see `rgi.data.corruption.fill`.
        iterations: steps of each inversion.

    Raises:
        InputError: a value of the wrong type or out of range, called as on the command line.
    """

    images: int
    fractions: Sequence[float]
    penalties: Sequence[float]
    fraction: float
    penalty: float
    continuation_from: float
    fill: str
    iterations: int

    def __post_init__(self) -> None:
        for name in ("images", "iterations"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise _wrong(name, value, "a whole number of at least 1")
        for name in ("fractions", "penalties"):
            values = getattr(self, name)
            if not isinstance(values, Sequence) or isinstance(values, str) or not values:
                raise _wrong(name, values, "a list of numbers, like [0.1,0.2]")
        for name, values in (("fractions", self.fractions), ("fraction", [self.fraction])):
            if not all(_positive(value) and value < 1 for value in values):
                raise _wrong(name, getattr(self, name), "above 0 and below 1")
        for name in ("penalties", "penalty", "continuation_from"):
            value = getattr(self, name)
            if not all(map(_positive, value if name == "penalties" else [value])):
                raise _wrong(name, value, "above 0; λ = 0 masks everything")
        if self.fill not in FILLS:
            raise _wrong("fill", self.fill, f"one of {', '.join(FILLS)}")


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _wrong(name: str, value: Any, wanted: str) -> InputError:
    return InputError(f"recovery.{name}={value}: must be {wanted}")


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
        found = dataclasses.asdict(self)
        penalty = found.pop("penalty")
        return {"fraction": found.pop("fraction"), "lambda": "" if penalty is None else penalty, **found}


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
    found = invert(gan, observed, config, latent_start=start, seed=seed, on_step=bar.update)
    errors = {"rmse": (found.restored.cpu() - truth.clean).square().mean((1, 2, 3)).sqrt().tolist()}
    if found.mask_optimised:
        errors["mask_error"] = (found.mask.cpu() - mask).abs().mean((1, 2, 3)).tolist()
    return errors


def measure_all(gan: GAN, settings: Settings, folder: Path, seed: int) -> dict[Cell, Errors]:
    """Measure the whole grid; a cell whose file is in ``folder`` is read back instead."""
    truth, cells = sample(gan, settings.images, seed), grid(settings)
    found: dict[Cell, Errors] = {}
    folder.mkdir(exist_ok=True)
    steps = settings.images * settings.iterations  # of a cell
    with tqdm(total=len(cells) * steps, unit="step", mininterval=1) as bar:
        for number, cell in enumerate(cells, 1):
            bar.set_description(f"{number}/{len(cells)} {cell.name}")
            file = folder / f"{cell.name}.json"
            if file.exists():
                bar.update(steps)
            else:
                runs.write_json(file, measure(gan, truth, cell, settings, seed, bar))
            found[cell] = json.loads(file.read_text())
    return found


def run(gan: GAN, settings: Settings, folder: Path, seed: int) -> None:
    """Measure, and write the tables and the figure; the finished cells of an interrupted run are taken over."""
    found = measure_all(gan, settings, folder / "cells", seed)
    scores = {cell: summary(errors) for cell, errors in found.items()}
    write_table(folder / "per_image.csv", list(per_image(found)))
    table = list(long_form(scores, seed))
    write_table(folder / "table.csv", table)
    draw(folder / "figure.png", table, settings.fraction, settings.penalty, settings.continuation_from, SUCCESS)
    runs.write_json(folder / "metrics.json", {cell.name: values for cell, values in scores.items()})


def summary(errors: Errors) -> dict[str, float]:
    """Means over the images, and the share of images that are recovered."""
    means = {name: fmean(values) for name, values in errors.items()}
    return means | {"success_rate": fmean(error < SUCCESS for error in errors["rmse"])}


def per_image(found: dict[Cell, Errors]) -> Iterator[dict[str, Any]]:
    """A row for each cell and image."""
    for cell, errors in found.items():
        for image, values in enumerate(zip(*errors.values(), strict=True)):
            yield cell.columns | {"image": image} | dict(zip(errors, values, strict=True))


def long_form(scores: dict[Cell, dict[str, float]], seed: int) -> Iterator[dict[str, Any]]:
    """A row for each cell and metric."""
    for cell, values in scores.items():
        for metric, value in values.items():
            yield cell.columns | {"metric": metric, "seed": seed, "value": value}
