"""python experiments/optimiser/study.py [PART ...]: compare optimisers by objective, image quality and cost.

The images are clean validation images of bricks and magnetic tiles with synthetic corruption: painted defects, or holes
in a quarter of the pixels. The generators were not trained on these images, and the benchmarks do not test on them. A
variant differs from the base configuration in one option. The generator of bricks is a GAN with an encoder. That of
tiles is fitted, and its guess of z is a least-squares solution. The script writes table.csv after each variant. If it
is started again, it skips the variants in this file.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from alternatives import gauss_newton, lbfgs
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from rgi import SolverConfig, invert, load_gan
from rgi.data.corruptions import defects
from rgi.data.corruptions.fills import fill
from rgi.data.corruptions.regions import regions
from rgi.data.sets.magnetic_tile import MagneticTile
from rgi.data.sets.textures import Textures
from rgi.generators.store import GAN
from rgi.inversion import solver
from rgi.inversion.problem import Problem
from rgi.metrics.standard import psnr

HERE = Path(__file__).parent
IMAGES = 24  # highest number of images of a cell
HOLE = 0.25  # fraction of the pixels in the holes
COLUMNS = ["dataset", "corruption", "method", "part", "variant", "images", "metric", "seed", "value"]
KEY = ["dataset", "corruption", "part", "variant"]
PAPER = {"schedule": "constant", "warmup": 0, "betas": (0.9, 0.999), "lr_latent": 0.1, "pool_distribution": "uniform"}
FORMER = {"lr_latent": 0.2, "betas": (0.9, 0.99), "latent_basis": "standard", "starts": 1}
BASE = SolverConfig(
    iterations=100, lr_latent=0.3, betas=(0.8, 0.95), latent_start="pool", starts=1, tolerance=None, mask_penalty="auto"
)
GUESS = BASE.replace(latent_start="auto")  # one start: that of the encoder, or of least squares
TUNED = BASE.replace(tune_generator=True, tune_from=60, warm_moments=False, lr_generator=5e-4, mask_penalty="auto")


@dataclass
class Cell:
    """Images of one dataset with one corruption.

    Attributes:
        dataset: name of the dataset.
        corruption: "holes" or "defects".
        gan: GAN of the dataset.
        observed: observed images (B,C,H,W).
        clean: clean images (B,C,H,W).
        mask: true masks (B,1,H,W) in {0,1}.
    """

    dataset: str
    corruption: str
    gan: GAN
    observed: Tensor
    clean: Tensor
    mask: Tensor


Result = tuple[Tensor, Tensor, float]  # objective (B,), restored images (B,C,H,W), generator passes per image
Variant = SolverConfig | Callable[[Cell], Result]


def cells(datasets: list[str], tiles: str) -> Iterator[Cell]:
    """Cells of the study: each dataset with holes and with defects.

    Args:
        datasets: names of the datasets.
        tiles: folder of the magnetic tile dataset.
    """
    sets = {
        "textures": ("textures-brick-64", Textures("brick")),
        "magnetic_tile": ("magnetic_tile-tile-64", MagneticTile(tiles, 64, 1, None)),
    }
    for name, images in (sets[dataset] for dataset in datasets):
        gan, held_out = load_gan(name), images.validation()
        gan.card = replace(gan.card, residual_scale=[])  # λ is a number here, which variants multiply
        count = min(IMAGES, len(held_out))
        clean = torch.stack([held_out[i * len(held_out) // count] for i in range(count)])
        generator = torch.Generator().manual_seed(0)
        mask = regions(torch.full((count,), HOLE), clean.shape[-1], clean.shape[-1] / 4, generator)
        yield Cell(images.name, "holes", gan, fill(clean, mask, "noise", generator), clean, mask)
        painted = [_painted(image, index) for index, image in enumerate(clean)]
        observed, mask = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*painted, strict=True))
        yield Cell(images.name, "defects", gan, observed, clean, mask)


def _painted(image: Tensor, index: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([0, zlib.crc32(f"study/{index}".encode())])
    kind = list(defects.PAINTERS)[index % len(defects.PAINTERS)]
    return defects.paint(image.numpy(), kind, rng.uniform(1, 3), rng)


def optimiser_variants() -> dict[str, Variant]:
    """Variants of steps, rates and basis of Adam, and other optimisers."""
    variants: dict[str, Variant] = {f"metric basis, {n} steps": BASE.replace(iterations=n) for n in (30, 60, 100, 200)}
    variants |= {f"own coordinates, {n} steps": BASE.replace(iterations=n, latent_basis="standard") for n in (100, 200)}
    variants |= {f"former default, {n} steps": BASE.replace(iterations=n, **FORMER) for n in (100, 250)}
    variants |= {f"the paper's Adam, {n} steps": BASE.replace(iterations=n, **PAPER) for n in (150, 500, 2000)}
    variants |= {f"rate {rate}": BASE.replace(lr_latent=rate) for rate in (0.1, 0.2, 0.5)}
    variants |= {
        f"betas {betas}": BASE.replace(betas=betas) for betas in ((0.9, 0.999), (0.9, 0.99), (0.9, 0.95), (0.5, 0.9))
    }
    variants |= {"constant rate in the metric basis": lambda cell: _constant(cell)}
    variants |= {f"L-BFGS, {n} steps": _alternative(lbfgs, n) for n in (30, 60)}
    variants |= {f"Gauss-Newton, {n} steps": _alternative(gauss_newton, n) for n in (2, 5)}
    variants |= {f"prior {weight}": BASE.replace(latent_weight=weight / 2) for weight in (0.001, 0.01, 0.1)}
    variants |= {"float32 networks": BASE.replace(precision="float32")}
    return variants


def start_variants() -> dict[str, Variant]:
    """Variants of the start of z and of the number of starts."""
    variants: dict[str, Variant] = {
        "pool, uniform": BASE.replace(pool_distribution="uniform"),
        "pool, plain distance": _plain_distance,
        "pool of 200": BASE.replace(pool_size=200),
        "pool of 5000": BASE.replace(pool_size=5000),
    }
    variants |= {
        f"best of {k} after {n}": BASE.replace(starts=k, trial_steps=n)
        for k, n in ((4, 12), (4, 24), (8, 24), (16, 24))
    }
    variants |= {f"guess, {n} steps": GUESS.replace(iterations=n) for n in (15, 30, 60, 100, 200)}
    variants |= {
        f"guess and {k - 1} of the pool, after {n}": BASE.replace(latent_start="auto", starts=k, trial_steps=n)
        for k, n in ((4, 24), (8, 24))
    }
    return variants


def penalty_variants() -> dict[str, Variant]:
    """Variants of λ that decreases to its final value."""
    variants: dict[str, Variant] = {f"λ from {f}λ": BASE.replace(continuation=f) for f in (3.0, 10.0, 30.0, 100.0)}
    variants |= {f"λ from {f}λ, guess": GUESS.replace(continuation=f) for f in (3.0, 10.0)}
    return variants


def stopping_variants() -> dict[str, Variant]:
    """Variants of the tolerance for settled images."""
    variants: dict[str, Variant] = {f"tolerance {t}": GUESS.replace(tolerance=t) for t in (1e-4, 1e-3, 3e-3, 1e-2)}
    return variants


def tuning_variants() -> dict[str, Variant]:
    """Variants of R-RGI: learning rate, number of steps, and tuned weights."""
    variants: dict[str, Variant] = {
        f"R-RGI, rate {rate}, {steps} steps": _tuned(rate, steps)
        for rate, steps in ((1e-4, 40), (3e-4, 40), (1e-3, 40), (3e-3, 40), (3e-4, 20), (3e-4, 80), (1e-3, 15))
    }
    variants |= {
        f"R-RGI, {scale:g}λ, rate {rate}": _tuned(rate, 40, scale) for scale in (0.1, 0.3) for rate in (3e-4, 1e-3)
    }
    return variants | layer_variants()


def layer_variants() -> dict[str, Variant]:
    """Variants of R-RGI that tune some layers of a network."""
    return {
        "R-RGI, biases, rate 0.003": _some_weights("bias", 3e-3),
        "R-RGI, biases, rate 0.01": _some_weights("bias", 1e-2),
        "R-RGI, first layers, rate 0.001": _some_weights("first", 1e-3),
    }


def parts() -> dict[str, dict[str, Variant]]:
    """Variants by part of the study."""
    return {
        "optimiser": optimiser_variants(),
        "start": start_variants(),
        "penalty": penalty_variants(),
        "stopping": stopping_variants(),
        "tuning": tuning_variants(),
    }


def _tuned(rate: float, steps: int, scale: float = 1.0) -> Variant:
    """R-RGI from the guess, with 60 steps of z alone before tuning, and with λ = ``scale`` times the automatic λ."""

    def run(cell: Cell) -> Result:
        penalty = scale * Problem(cell.gan, cell.observed, BASE, None).penalty
        changes = {"iterations": 60 + steps, "lr_generator": rate, "latent_start": "auto", "mask_penalty": penalty}
        return _inverted(cell, TUNED.replace(**changes))

    return run


def _some_weights(which: str, rate: float) -> Variant:
    """R-RGI that tunes a subset of the weights."""

    class PartlyTuned(solver.Optimisation):
        def _copy_weights(self) -> None:
            super()._copy_weights()
            named = zip(self.weights.names, self.weights.parameters, strict=True)
            chosen = {
                "bias": lambda name, p: name.endswith("bias"),
                "first": lambda name, p: name.startswith(("base", "blocks.0", "blocks.1")),
            }[which]
            self.optimizer.param_groups[-1]["params"] = [p for name, p in named if chosen(name, p)]

    def run(cell: Cell) -> Result:
        whole, solver.Optimisation = solver.Optimisation, PartlyTuned
        try:
            return _tuned(rate, 40)(cell)
        finally:
            solver.Optimisation = whole

    return run


def _alternative(method: Callable[..., tuple[Tensor, float]], steps: int) -> Variant:
    """Optimiser of alternatives.py in float32 from the start of the base configuration."""

    def run(cell: Cell) -> Result:
        problem = Problem(cell.gan, cell.observed, BASE.replace(precision="float32"), None)
        z = problem.starts(None, None, 0)(torch.arange(len(cell.observed)))[:, 0]
        z, cost = method(problem, z, steps)
        restored = cell.gan.generator(z.detach())
        return problem.evaluate(restored, z)[0], restored, cost

    return run


def _constant(cell: Cell) -> Result:
    """Base configuration with a constant learning rate."""
    fixed = SolverConfig.rate
    SolverConfig.rate = lambda self, step: 1.0
    try:
        return _inverted(cell, BASE)
    finally:
        SolverConfig.rate = fixed


def _plain_distance(cell: Cell) -> Result:
    """Start of the paper (plain distance to the images of the pool) and steps of the base configuration."""
    first = BASE.replace(mask="adam", iterations=1, lr_latent=1e-30)
    start = invert(cell.gan, cell.observed, first).latent
    return _inverted(cell, BASE.replace(latent_start="given"), start)


def _inverted(cell: Cell, config: SolverConfig, start: Tensor | None = None) -> Result:
    """Result of the solver with a configuration."""
    result = invert(cell.gan, cell.observed, config, latent_start=start)
    passes = 2 * (result.evaluations.double().mean().item() - 1)  # forward and backward; the last one is no step
    return result.objective, result.restored, passes


def measure(cell: Cell, variant: Variant, penalty: float) -> dict[str, float]:
    """Measure one variant on one cell.

    Args:
        cell: images.
        variant: solver configuration or optimiser.
        penalty: λ of the objective in the table. The table always has the objective of RGI with this λ, although
            variants may minimise another objective.

    Returns:
        Objective, PSNR in dB, pixel AUROC, generator passes and seconds per image.
    """
    started = time.perf_counter()
    _, restored, passes = _inverted(cell, variant) if isinstance(variant, SolverConfig) else variant(cell)
    seconds = time.perf_counter() - started
    judge = Problem(cell.gan, cell.observed, BASE.replace(mask_penalty=penalty), None)
    no_code = torch.zeros(len(restored), 0)  # this objective has no term of z
    residual = (cell.observed - restored).abs().mean(1).numpy()
    smooth = ndimage.gaussian_filter(residual, (0, 1, 1))
    return {
        "objective": judge.evaluate(restored, no_code)[0].mean().item(),
        "psnr": psnr(restored, cell.clean).mean().item(),
        "pixel_auroc": roc_auc_score(cell.mask.numpy().ravel() > 0.5, smooth.ravel()),
        "passes": passes,
        "seconds_per_image": seconds / len(cell.observed),
    }


def main() -> None:
    """Measure the variants that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    all_parts, layers = parts(), layer_variants()
    parser.add_argument("part", nargs="*", default=list(all_parts), help=", ".join(all_parts))
    parser.add_argument("--datasets", nargs="+", default=["textures", "magnetic_tile"])
    parser.add_argument("--tiles", default="data/magnetic_tile", help="root of the magnetic tiles")
    arguments = parser.parse_args()
    file = HERE / "table.csv"
    table = pd.read_csv(file, dtype=str) if file.exists() else pd.DataFrame(columns=COLUMNS)
    done = set(table[KEY].itertuples(index=False, name=None))
    for cell in cells(arguments.datasets, arguments.tiles):
        penalty = Problem(cell.gan, cell.observed, BASE, None).penalty
        chosen = [(part, *item) for part in arguments.part for item in all_parts[part].items()]
        for part, name, variant in tqdm(chosen, desc=f"{cell.dataset}, {cell.corruption}"):
            if name in layers and cell.gan.encoder is None:  # a fitted generator has no layers
                continue
            if (cell.dataset, cell.corruption, part, name) in done:
                continue
            method = "r_rgi" if part == "tuning" else "rgi"
            identity = [cell.dataset, cell.corruption, method, part, name, len(cell.observed)]
            rows = [[*identity, metric, 0, f"{value:.6g}"] for metric, value in measure(cell, variant, penalty).items()]
            table = pd.concat([table, pd.DataFrame(rows, columns=COLUMNS)])
            table.to_csv(file, index=False)


if __name__ == "__main__":
    main()
