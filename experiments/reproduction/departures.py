"""python experiments/reproduction/departures.py: what changes when one departs from the published procedure.

Each variant changes one thing of the published procedure, or one thing of ours, on the same images and with the same
generator: the progressive GAN of 64 pixels of the paper's chain. The script writes departures.csv after each variant,
with a row for each image, and the course of the published procedure to convergence_<method>.csv. It does not compute
variants that are already in the table.
"""

from pathlib import Path

import pandas as pd
import torch
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
TABLE = HERE / "departures.csv"
EVERY = 50  # steps between two points of the course
CELL = "celeba_central"  # beginning of the experiments: faces with a hole in the centre
IMAGES = "dataset.test_images=8"
GENERATOR = "celeba-faces-64-progressive"
PROFILED = {"mask": "profiled"}
RATES = {"schedule": "cosine"}


def departures(method: str) -> dict[str, dict[str, object]]:
    """Changed options of each variant.

    Basis and number of starts only exist with a mask in closed form and cosine rates, so these variants change the
    variant "closed-form mask, cosine rates".

    Args:
        method: "rgi" or "rrgi".
    """
    if method == "rrgi":
        return {"published": {}, "cold moments": {"warm_moments": False}}
    return {
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


def inverted(config: SolverConfig, batch: Batch, optimisation: type[solver.Optimisation]) -> Inversion:
    """The result of a variant."""
    usual, solver.Optimisation = solver.Optimisation, optimisation
    try:
        return invert(load_gan(GENERATOR), batch.observed, config)
    finally:
        solver.Optimisation = usual


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
    table = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame(columns=["method", "variant"])
    for method in ("rgi", "rrgi"):
        cfg = compose(f"experiment=reference/{CELL}_{method}", "scale=64", IMAGES)
        published, tests = solver_config(cfg.solver, method, "invert"), image_set(cfg).test()
        batch = Batch.collate([tests[i] for i in range(len(tests))])
        variants = {name: published.replace(**changes) for name, changes in departures(method).items()}
        ours = solver_config(compose(f"experiment={CELL}_{method}").solver, method, "invert")
        variants |= {
            "ours": ours,
            "ours, published λ": ours.replace(mask_penalty=published.mask_penalty),
            "ours, no prior on z": ours.replace(latent_weight=0.0),
            "ours, no closing of the mask": ours.replace(mask_closing=None),
        }
        for name, config in tqdm(variants.items(), desc=method):
            if (table[["method", "variant"]] == [method, name]).all(axis="columns").any():
                continue
            Course.points = []
            special = {"best iterate": BestIterate, "published": Course}
            result = inverted(config, batch, special.get(name, solver.Optimisation))
            found = {
                "method": method,
                "variant": name,
                "image": batch.name,
                "psnr": psnr(result.restored, batch.clean).tolist(),
                "psnr_hole": psnr_hole(result.restored, batch.clean, batch.mask).tolist(),
                "seconds": result.seconds / len(batch.observed),
                "evaluations": result.evaluations.tolist(),
            }
            table = pd.concat([table, pd.DataFrame(found)])
            table.round(5).to_csv(TABLE, index=False)
            if Course.points:
                course(Course.points, batch).round(5).to_csv(HERE / f"convergence_{method}.csv", index=False)


if __name__ == "__main__":
    main()
