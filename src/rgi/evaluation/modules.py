"""Methods under Lightning: solve each batch, keep every image's result as soon as it is there, score the whole."""

import os
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from tqdm import tqdm

from rgi.baselines.base import Baseline
from rgi.data.batch import Batch
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.maps import CleanStatistics
from rgi.inversion.solver import invert
from rgi.metrics.curves import auroc_per_image
from rgi.metrics.protocols import Scores
from rgi.metrics.standard import psnr, ssim

Result = dict[str, np.ndarray]  # one image's arrays and numbers, as its file holds them


class TestModule(LightningModule):
    """The test step solves and scores, the predict step only solves; a subclass says how images are solved.

    Each image's result goes to ``<results>/<name>.npz`` when its batch is done; an image whose file is there already
    is read back and not solved again. Since no result depends on the neighbours in a batch, an interrupted run ends
    with the numbers of an uninterrupted one.

    Args:
        method: its name, shown and recorded.
        results: the folder of this method's results.
        steps: that an image takes, for the progress bar.
    """

    __test__ = False  # no test case, whatever pytest makes of the name
    found_mask = False  # whether a result's ``mask`` was optimised, for the reference protocol to rank

    def __init__(self, method: str, results: Path, steps: int) -> None:
        super().__init__()
        self.method, self.results, self.steps = method, results, steps
        self.scores = Scores()
        self.bar = tqdm(disable=True)

    @abstractmethod
    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """What is found of a batch, one row per image: ``map`` (B,H,W) and whatever else the method finds."""

    def set_threshold(self, threshold: float) -> None:
        """A threshold of the map, fixed on clean images, whose F1 is scored, too."""
        self.scores = Scores(threshold)

    def on_test_start(self) -> None:
        loaders = self.trainer.test_dataloaders if self.trainer.testing else self.trainer.predict_dataloaders
        total, disable = len(loaders.sampler) * self.steps, self.global_rank != 0
        kind = self.results.parent.name  # of images: clean ones may come first
        name = self.method if kind == "results" else f"{self.method}, {kind} images"
        self.bar = tqdm(total=total, desc=name, unit="step", mininterval=1, disable=disable)

    on_predict_start = on_test_start

    def on_test_end(self) -> None:
        self.bar.close()

    on_predict_end = on_test_end

    def test_step(self, batch: Batch, index: int) -> None:
        found = self.results_of(batch)
        self.scores.update(
            anomaly_map=self._stack(found, "map"),
            restored=self._stack(found, "restored") if "restored" in found[0] else None,
            observed=batch.observed,
            paper_map=self._stack(found, "paper_map") if "paper_map" in found[0] else None,
            found_mask=self._stack(found, "mask") if self.found_mask else None,
            true_mask=batch.mask,
            clean=batch.clean,
        )

    def predict_step(self, batch: Batch, index: int) -> list[Result]:
        return self.results_of(batch)

    def on_test_epoch_end(self) -> None:
        """Scores of the whole set; torchmetrics adds the processes up."""
        values = {name: torch.as_tensor(value).float() for name, value in self.scores.compute().items()}
        self.log_dict(values, sync_dist=True)  # the same on every process already; Lightning warns without

    def results_of(self, batch: Batch) -> list[Result]:
        """Results of a batch, those on disk as they are."""
        files = [self.results / f"{name}.npz" for name in batch.name]
        missing = [i for i, file in enumerate(files) if not file.exists()]
        if missing:
            for i, result in zip(missing, self._solve(batch.select(missing)), strict=True):
                save(files[i], result)
        self.bar.update((len(files) - len(missing)) * self.steps)
        return [load(file) for file in files]

    def _solve(self, batch: Batch) -> list[Result]:
        started = time.perf_counter()
        tensors = {"observed": batch.observed, **self.solve(batch)}
        tensors["score"] = tensors["map"].amax((1, 2))
        if batch.mask is not None:
            tensors |= {"truth": batch.mask, "pixel_auroc": auroc_per_image(tensors["map"], batch.mask)}
        if batch.clean is not None:
            tensors["clean"] = batch.clean
            if "restored" in tensors:
                compared = tensors["restored"], batch.clean
                tensors |= {"psnr": psnr(*compared), "ssim": ssim(*compared)}
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            {name: array[i] for name, array in arrays.items()}
            | {"seconds": np.float64(seconds), "category": np.str_(batch.category[i])}
            for i in range(len(batch))
        ]

    def _stack(self, found: list[Result], key: str) -> Tensor:
        return torch.from_numpy(np.stack([result[key] for result in found])).to(self.device)


class InversionModule(TestModule):
    """RGI and all that `rgi.invert` does.

    Args:
        gan: the generator and its critic.
        config: the method.
        method, results: see `TestModule`.
        map_kind, sigma: of the anomaly map that is scored, see `rgi.inversion.result.Inversion.anomaly_map`.
        seed: of the latent pool.
    """

    def __init__(
        self, gan: GAN, config: SolverConfig, method: str, results: Path, map_kind: str | None, sigma: float, seed: int
    ) -> None:
        super().__init__(method, results, config.iterations)
        self.gan, self.config = gan, config
        self.map_kind, self.sigma, self.pool_seed = map_kind, sigma, seed
        self.clean: CleanStatistics | None = None  # what the map's kind may need
        self.networks = nn.ModuleDict(gan.modules())  # for Lightning to move
        self.found_mask = config.mask in ("profiled", "adam")

    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """The fields of an `Inversion`."""
        found = invert(
            self.gan,
            batch.observed,
            self.config,
            given_mask=batch.mask,
            seed=self.pool_seed,
            on_step=self.bar.update,
        )
        self.bar.update(int((self.config.iterations - found.iterations).sum()))  # steps that were not needed
        another = self.map_kind is not None or self.sigma
        return {
            "restored": found.restored,
            "mask": found.mask,
            "map": found.anomaly_map(self.map_kind, self.sigma, self.clean),
            **({"paper_map": found.anomaly_map()} if another else {}),
            "latent": found.latent,
            "history": found.history.T,
            "objective": found.objective,
            "iterations": found.iterations,
            "evaluations": found.evaluations,
        }


class BaselineModule(TestModule):
    """A fitted baseline.

    Args:
        baseline: see `rgi.baselines.base.Baseline`.
        method, results: see `TestModule`.
        sigma: of the anomaly map's smoothing, in pixels.
    """

    def __init__(self, baseline: Baseline, method: str, results: Path, sigma: float) -> None:
        super().__init__(method, results, steps=1)
        self.baseline, self.sigma = baseline, sigma

    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """The restored images, if it restores any, and the map."""
        found = self.baseline.predict(batch.observed)
        self.bar.update(len(batch))
        restored = {} if found.restored is None else {"restored": found.restored}
        return {**restored, "map": found.anomaly_map(self.sigma)}


def save(file: Path, result: Result) -> None:
    """Write one image's result; a kill leaves no half file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as stream:
        np.savez_compressed(stream, **result)
    os.replace(part, file)


def load(file: Path) -> Result:
    """Read one image's result."""
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def rows(results: Path, names: list[str], method: str) -> list[dict[str, Any]]:
    """One row of numbers per image, read back from the results folder."""
    columns = ("category", "score", "objective", "iterations", "evaluations", "seconds", "pixel_auroc", "psnr", "ssim")
    table = []
    for name in names:
        result = load(results / f"{name}.npz")
        row = {"method": method, "name": name, "kind": name.rpartition("/")[0]}
        table.append(row | {column: result[column].item() for column in columns if column in result})
    return table
