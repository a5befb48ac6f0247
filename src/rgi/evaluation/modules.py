"""Methods under Lightning: solve each batch, write every image's result as soon as it is known, score the whole."""

import time
from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from tqdm import tqdm

from rgi.baselines.base import Baseline
from rgi.data.batch import Batch
from rgi.evaluation.results import Result, load_result, result_path, save_result
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.maps import CleanStatistics
from rgi.inversion.solver import invert
from rgi.metrics.curves import auroc_per_image
from rgi.metrics.protocols import Scores
from rgi.metrics.standard import psnr, ssim


class TestModule(LightningModule):
    """The test step solves and scores; the predict step only solves. A subclass implements `solve`.

    Each image's result is written to ``<results>/<name>.npz`` when its batch is done. An image whose file exists is
    read back and not solved again. No result depends on the other images of a batch, so an interrupted run ends with
    the numbers of an uninterrupted one.

    Args:
        method: name of the method, for the progress bar and the tables.
        results: folder of this method's results.
        steps: optimisation steps per image, the unit of the progress bar.
    """

    __test__ = False  # no test case, whatever pytest makes of the name
    optimises_mask = False  # whether a result's ``mask`` is an estimate, which the reference protocol ranks

    def __init__(self, method: str, results: Path, steps: int) -> None:
        super().__init__()
        self.method, self.results, self.steps = method, results, steps
        self.threshold: float | None = None  # of the anomaly map, fixed on clean images; its F1 is scored
        self.bar = tqdm(disable=True)

    @abstractmethod
    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """Tensors with one row per image: the anomaly ``map`` (B,H,W), and whatever else the method estimates."""

    def setup(self, stage: str) -> None:
        """Make the metrics where they are needed: their bins take 0.4 GB."""
        if stage == "test":
            self.scores = Scores(self.threshold)

    def on_test_start(self) -> None:
        loaders = self.trainer.test_dataloaders if self.trainer.testing else self.trainer.predict_dataloaders
        total, disable = len(loaders.sampler) * self.steps, self.global_rank != 0
        kind = self.results.parent.name  # "results" for test images; clean images have a folder of their own
        name = self.method if kind == "results" else f"{self.method}, {kind} images"
        self.bar = tqdm(total=total, desc=name, unit="step", mininterval=1, disable=disable)

    on_predict_start = on_test_start

    def on_test_end(self) -> None:
        self.bar.close()

    on_predict_end = on_test_end

    def test_step(self, batch: Batch, index: int) -> None:
        results = self.batch_results(batch)
        self.scores.update(
            anomaly_map=self._stack(results, "map"),
            restored=self._stack(results, "restored"),
            observed=batch.observed,
            paper_map=self._stack(results, "paper_map"),
            estimated_mask=self._stack(results, "mask") if self.optimises_mask else None,
            true_mask=batch.mask,
            clean=batch.clean,
        )

    def predict_step(self, batch: Batch, index: int) -> list[Result]:
        return self.batch_results(batch)

    def on_test_epoch_end(self) -> None:
        """Log the scores of the whole set; torchmetrics joins the processes."""
        values = {name: torch.as_tensor(value).float() for name, value in self.scores.compute().items()}
        self.log_dict(values, sync_dist=True)  # the same on every process already; Lightning warns without

    def batch_results(self, batch: Batch) -> list[Result]:
        """Results of a batch; only images without a file are solved."""
        missing = [i for i, name in enumerate(batch.name) if not result_path(self.results, name).exists()]
        if missing:
            for i, result in zip(missing, self._solve(batch.select(missing)), strict=True):
                save_result(self.results, batch.name[i], result)
        self.bar.update((len(batch) - len(missing)) * self.steps)
        return [load_result(self.results, name) for name in batch.name]

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

    def _stack(self, results: list[Result], key: str) -> Tensor | None:
        """One tensor (B,...) of an array of every result, or None where the method has no such array."""
        if key not in results[0]:
            return None
        return torch.from_numpy(np.stack([result[key] for result in results])).to(self.device)


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
        self.optimises_mask = config.mask in ("profiled", "adam")

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
