"""python experiments/reproduction/departures.py: what changes when one departs from the published procedure.

Each variant changes one thing of the published procedure, on the same images and with the same generator: the
progressive GAN of 64 pixels of the paper's chain. The script writes departures.csv after each variant, with a row for
each image, and the course of the published procedure to convergence.csv. It does not compute variants that are already
in these files.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from rgi import SolverConfig, invert, load_gan
from rgi.app.grid import compose
from rgi.app.options import image_set, solver_config
from rgi.data.batch import Batch
from rgi.inversion import solver
from rgi.inversion.result import Inversion
from rgi.metrics.standard import psnr, psnr_hole

HERE = Path(__file__).resolve().parent
SIGMA = 1  # pixels: smoothing of the residual
EVERY = 50  # steps between two points of the course
CELLS = {  # name: beginning of its experiments, options of its images, generator, methods
    "faces, central hole": ("celeba_central", "dataset.test_images=8", "celeba-faces-64-progressive", ("rgi", "rrgi")),
    "tile, real defects": (
        "magnetic_tile",
        "dataset.images_per_kind=2",
        "magnetic_tile-tile-64-progressive",
        ("rgi",),
    ),
}
PROFILED = {"mask": "profiled"}
RATES = {"schedule": "cosine"}


def departures(method: str, colour: bool) -> dict[str, dict[str, object]]:
    """Changed options of each variant.

    Basis and number of starts only exist with a mask in closed form and cosine rates, so these variants change the
    variant "closed-form mask, cosine rates".

    Args:
        method: "rgi" or "rrgi".
        colour: whether the images have several channels.
    """
    if method == "rrgi":
        return {"published": {}, "cold moments": {"warm_moments": False}}
    variants: dict[str, dict[str, object]] = {
        "published": {},
        "closed-form mask": PROFILED,
        "one mask for all channels": {"mask_shape": "pixel"},
        "no critic term": {"critic_weight": 0.0},
        "normal pool": {"pool_distribution": "normal"},
        "best iterate": {},
        "cosine rates": RATES,
        "closed-form mask, cosine rates": PROFILED | RATES,
        "closed-form mask, cosine rates, metric basis": PROFILED | RATES | {"latent_basis": "metric"},
        "closed-form mask, cosine rates, 8 starts": PROFILED | RATES | {"starts": 8},
    }
    return variants if colour else {name: each for name, each in variants.items() if "channels" not in name}


class BestIterate(solver.Optimisation):
    """The published procedure, but the result is the iterate with the lowest objective."""

    def _step(self, step: int) -> None:
        before = [leaf.detach().clone() for leaf in (self.code, self.mask)]
        super()._step(step)
        _, objective = self.history[-1]
        if step == 0:
            self.lowest, self.best = objective, before
        better = objective < self.lowest
        self.lowest = torch.where(better, objective, self.lowest)
        for best, leaf in zip(self.best, before, strict=True):
            best[better] = leaf[better]

    def _result(self) -> dict[str, Tensor]:
        self.code, self.mask = self.best
        return super()._result()


class Course(solver.Optimisation):
    """The published procedure, which notes image and mask every `EVERY` steps."""

    points: list[tuple[int, Tensor, Tensor]]  # step, restored images, masks

    @torch.no_grad()
    def _step(self, step: int) -> None:
        if step % EVERY == 0:
            self.points.append((step, self.weights(self._latent()).clone(), self.mask.clone()))
        with torch.enable_grad():
            super()._step(step)


def inverted(cell: str, config: SolverConfig, batch: Batch, optimisation: type[solver.Optimisation]) -> Inversion:
    """The result of a variant."""
    usual, solver.Optimisation = solver.Optimisation, optimisation
    try:
        return invert(load_gan(CELLS[cell][2]), batch.observed, config)
    finally:
        solver.Optimisation = usual


def scores(result: Inversion, batch: Batch) -> dict[str, list[float]]:
    """Scores of each image: PSNR in dB where the clean image is known, else pixel AUROC of a defective image."""
    if batch.clean is not None:
        whole, hole = psnr(result.restored, batch.clean), psnr_hole(result.restored, batch.clean, batch.mask)
        return {"psnr": whole.tolist(), "psnr_hole": hole.tolist()}
    maps = {"mask": result.anomaly_map("mask"), "residual": result.anomaly_map("residual", sigma=SIGMA)}
    truth = batch.mask[:, 0] > 0.5
    return {
        f"pixel_auroc_{kind}": [
            roc_auc_score(t.flatten(), m.flatten()) if t.any() else float("nan")
            for t, m in zip(truth, each, strict=True)
        ]
        for kind, each in maps.items()
    }


def course(points: list[tuple[int, Tensor, Tensor]], batch: Batch) -> pd.DataFrame:
    """Mean errors of images and masks at each noted step; the mask's error is the mean of abs(M - true mask)."""
    rows = [
        {
            "step": step,
            "psnr": psnr(restored, batch.clean).mean().item(),
            "psnr_hole": psnr_hole(restored, batch.clean, batch.mask).mean().item(),
            "mask_error": (mask - batch.mask).abs().mean().item(),
        }
        for step, restored, mask in points
    ]
    return pd.DataFrame(rows)


def main() -> None:
    """Run the variants that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--table", type=Path, default=HERE / "departures.csv")
    arguments = parser.parse_args()
    key = ["cell", "method", "variant"]
    table = pd.read_csv(arguments.table) if arguments.table.exists() else pd.DataFrame(columns=key)
    for cell in arguments.cells:
        beginning, option, _, methods = CELLS[cell]
        for method in methods:
            cfg = compose(f"experiment=reference/{beginning}_{method}", "scale=64", option)
            published, tests = solver_config(cfg.solver, method, "invert"), image_set(cfg).test()
            batch = Batch.collate([tests[i] for i in range(len(tests))])
            ours = solver_config(compose(f"experiment={beginning}_{method}").solver, method, "invert")
            variants = {
                name: published.replace(**changes)
                for name, changes in departures(method, batch.observed.shape[1] > 1).items()
            }
            for name, config in tqdm((variants | {"ours": ours}).items(), desc=f"{cell}, {method}"):
                if (table[key] == [cell, method, name]).all(axis="columns").any():
                    continue
                Course.points = []
                special = {"best iterate": BestIterate, "published": Course}
                result = inverted(cell, config, batch, special.get(name, solver.Optimisation))
                found = {"cell": cell, "method": method, "variant": name, "image": batch.name}
                found |= scores(result, batch)
                found |= {
                    "seconds": result.seconds / len(batch.observed),
                    "evaluations": result.evaluations.tolist(),
                }
                table = pd.concat([table, pd.DataFrame(found)])
                table.round(5).to_csv(arguments.table, index=False)
                if Course.points and batch.clean is not None:
                    file = arguments.table.with_name(f"convergence_{method}.csv")
                    course(Course.points, batch).round(5).to_csv(file, index=False)


if __name__ == "__main__":
    main()
