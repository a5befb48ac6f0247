"""LightningModules of the methods, which solve batches of test images, save the results, and compute scores."""

import dataclasses
import gc
import logging
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
from rgi.evaluation.fingerprint import code_fingerprint, fingerprint, image_fingerprints
from rgi.evaluation.results import Result, load_result, save_result, stored_fingerprint
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.maps import CleanStatistics
from rgi.inversion.problem import network_precision, penalty
from rgi.inversion.solver import invert
from rgi.metrics.checks import metric_device
from rgi.metrics.curves import auroc_per_image
from rgi.metrics.protocols import Scores
from rgi.metrics.standard import psnr, ssim

log = logging.getLogger(__name__)


class TestModule(LightningModule):
    """Base class: the test step solves and scores images, and the predict step only solves them.

    Subclasses implement `solve` and `identity`. The result of each image is written to ``<results>/<name>.npz`` at the
    end of its batch. If this file exists and its fingerprint fits (see `rgi.evaluation.fingerprint`), the image is not
    solved again. A result does not depend on the other images of a batch, so an interrupted run has the same scores as
    an uninterrupted run.

    Attributes:
        optimises_mask: whether the ``mask`` of a result is an estimate; the reference protocol ranks pixels by it.

    Args:
        method: name of the method in the progress bar and the tables.
        results: folder of this method's results.
        steps: number of optimisation steps per image, for the progress bar.
    """

    __test__ = False  # pytest would take the class for a test case
    optimises_mask = False

    def __init__(self, method: str, results: Path, steps: int) -> None:
        super().__init__()
        self.method, self.results, self.steps = method, results, steps
        self.fingerprint = ""  # of this method, see `identity`
        self.settings: dict[str, Any] = {}  # see `resolved`
        self.outdated = 0  # number of results that did not fit and were solved anew
        self.vanished: list[str] = []  # names of defective images whose resized mask is empty
        self.threshold: float | None = None  # of the anomaly map, for an F1 score; see `fix_threshold`
        self.bar = tqdm(disable=True)

    @abstractmethod
    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """Solve a batch; returns tensors with one row per image: the anomaly ``map`` (B,H,W) and further estimates.

        One of these may be the ``score`` of the image (B,); by default, it is the highest value of the map.
        """

    @abstractmethod
    def identity(self) -> str:
        """Fingerprint of all that decides the method's results besides the images."""

    def resolved(self) -> dict[str, Any]:
        """What stands for the options with the value ``auto``, and other facts about the solved images."""
        threshold = {} if self.threshold is None else {"threshold": self.threshold}
        return {"device": str(self.device), **threshold}

    def setup(self, stage: str) -> None:
        """Make the metrics only for scoring, because their bins take 0.4 GB."""
        if stage == "test":
            self.scores = Scores(self.threshold)

    def teardown(self, stage: str) -> None:
        """Free the memory of the metrics: torchmetrics' objects refer to themselves, so Python would keep them."""
        if stage == "test":
            del self.scores
            gc.collect()

    def on_test_start(self) -> None:
        loaders = self.trainer.test_dataloaders if self.trainer.testing else self.trainer.predict_dataloaders
        total, disable = len(loaders.sampler) * self.steps, self.global_rank != 0
        kind = self.results.parent.name  # "results" for test images; clean images have a folder of their own
        name = self.method if kind == "results" else f"{self.method}, {kind} images"
        self.fingerprint = self.identity()
        if self.trainer.testing:
            self.scores.to(metric_device(self.device))
        self.settings = self.resolved()  # here, because Lightning moves the module to the CPU after its work
        self.bar = tqdm(total=total, desc=name, unit="step", mininterval=1, disable=disable)

    on_predict_start = on_test_start

    def on_test_end(self) -> None:
        self.bar.close()
        if self.outdated:
            log.warning(
                "%s: %d results in %s were of another image, mask, generator, method or version, and were solved anew",
                *(self.method, self.outdated, self.results),
            )
        if self.vanished:
            log.warning(
                "%d images are defective, but nothing is left of their masks at this resolution, so they count for "
                "image scores only: %s",
                *(len(self.vanished), ", ".join(self.vanished)),
            )

    on_predict_end = on_test_end

    def test_step(self, batch: Batch, index: int) -> None:
        results = self.batch_results(batch)
        if batch.mask is not None:
            vanished = batch.defective & ~batch.mask.flatten(1).any(1)
            self.vanished += [name for name, lost in zip(batch.name, vanished, strict=True) if lost]
        scored = batch.to(metric_device(self.device))
        self.scores.update(
            anomaly_map=_stack(results, "map", scored),
            image_score=_stack(results, "score", scored),
            restored=_stack(results, "restored", scored),
            observed=scored.observed,
            paper_map=_stack(results, "paper_map", scored),
            estimated_mask=_stack(results, "mask", scored) if self.optimises_mask else None,
            true_mask=scored.mask,
            clean=scored.clean,
            defective=scored.defective,
        )

    def predict_step(self, batch: Batch, index: int) -> list[Result]:
        return self.batch_results(batch)

    def on_test_epoch_end(self) -> None:
        """Log the scores of all test images; torchmetrics joins the processes."""
        values = {name: torch.as_tensor(value).float() for name, value in self.scores.compute().items()}
        self.log_dict(values, sync_dist=True)  # without sync_dist, Lightning would warn

    def batch_results(self, batch: Batch) -> list[Result]:
        """Results of the images in a batch; only images without a fitting result file are solved."""
        expected = image_fingerprints(self.fingerprint, batch.observed, batch.mask, batch.clean, batch.defective)
        stored = [stored_fingerprint(self.results, name) for name in batch.name]
        missing = [i for i in range(len(batch)) if stored[i] != expected[i]]
        self.outdated += sum(stored[i] is not None for i in missing)
        if missing:
            for i, result in zip(missing, self._solve(batch.select(missing)), strict=True):
                save_result(self.results, batch.name[i], result | {"fingerprint": np.str_(expected[i])})
        self.bar.update((len(batch) - len(missing)) * self.steps)
        return [load_result(self.results, name) for name in batch.name]

    def _solve(self, batch: Batch) -> list[Result]:
        started = time.perf_counter()
        tensors = {"observed": batch.observed, **self.solve(batch)}
        device = metric_device(self.device)
        batch, tensors = batch.to(device), {name: tensor.to(device) for name, tensor in tensors.items()}
        tensors.setdefault("score", tensors["map"].amax((1, 2)))
        if batch.mask is not None:
            tensors |= {"truth": batch.mask, "pixel_auroc": auroc_per_image(tensors["map"], batch.mask)}
            tensors["defective"] = batch.defective
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


class InversionModule(TestModule):
    """All methods of `rgi.invert`.

    Args:
        gan: generator with its critic.
        config: options of the method.
        method: name of the method in the progress bar and the tables.
        results: folder of this method's results.
        map_kind: kind of the scored anomaly map, see `rgi.inversion.result.Inversion.anomaly_map`.
        sigma: standard deviation of the map's Gaussian smoothing in pixels.
        seed: seed of the latent pool.
    """

    def __init__(
        self, gan: GAN, config: SolverConfig, method: str, results: Path, map_kind: str | None, sigma: float, seed: int
    ) -> None:
        super().__init__(method, results, config.iterations)
        self.gan, self.config = gan, config
        self.map_kind, self.sigma, self.pool_seed = map_kind, sigma, seed
        self.clean: CleanStatistics | None = None  # for kinds of maps with statistics of clean images
        self.networks = nn.ModuleDict(gan.modules())  # so that Lightning moves the networks to the device
        self.optimises_mask = config.mask in ("profiled", "adam")

    def identity(self) -> str:
        """Fingerprint of method, generator, λ, anomaly map, statistics of clean images, and code."""
        config = dataclasses.asdict(self.config) | self._automatic()
        settings = {"map_kind": self.map_kind, "sigma": self.sigma, "pool_seed": self.pool_seed}
        clean: list[Any] = []
        if self.clean is not None:
            clean.append(self.clean.residuals)
            if self.clean.feature_map is not None:  # a function; its scores of clean images stand for it
                clean += [f"{self.clean.feature_mean:.5g}", f"{self.clean.feature_deviation:.5g}"]
        return fingerprint(code_fingerprint(), config, self.gan.card.sha256, settings, *clean)

    def resolved(self) -> dict[str, Any]:
        """λ (if the mask is optimised), the precision of the networks, the generator's checksum, and the device."""
        return {**self._automatic(), "generator_sha256": self.gan.card.sha256, **super().resolved()}

    def _automatic(self) -> dict[str, Any]:
        """The options that may be ``auto``, as the solver uses them; λ only with an optimised mask."""
        values: dict[str, Any] = {"mask_penalty": penalty(self.config, self.gan)} if self.optimises_mask else {}
        return {**values, "precision": network_precision(self.config, self.device)}

    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """The fields of an `Inversion`, and the paper's anomaly map if the scored map is another one."""
        inversion = invert(
            self.gan,
            batch.observed,
            self.config,
            given_mask=batch.mask,
            seed=self.pool_seed,
            on_step=self.bar.update,
        )
        self.bar.update(int((self.config.iterations - inversion.iterations).sum()))  # skipped steps
        has_other_map = self.map_kind is not None or self.sigma
        return {
            "restored": inversion.restored,
            "mask": inversion.mask,
            "map": inversion.anomaly_map(self.map_kind, self.sigma, self.clean),
            **({"paper_map": inversion.anomaly_map()} if has_other_map else {}),
            "latent": inversion.latent,
            "history": inversion.history.T,
            "objective": inversion.objective,
            "iterations": inversion.iterations,
            "evaluations": inversion.evaluations,
        }


class BaselineModule(TestModule):
    """A fitted baseline.

    Args:
        baseline: fitted baseline.
        method: name of the method in the progress bar and the tables.
        results: folder of this method's results.
        sigma: standard deviation of the map's Gaussian smoothing in pixels.
    """

    def __init__(self, baseline: Baseline, method: str, results: Path, sigma: float) -> None:
        super().__init__(method, results, steps=1)
        self.baseline, self.sigma = baseline, sigma

    def identity(self) -> str:
        """Fingerprint of the fitted baseline, its options, the smoothing, and code."""
        kinds = (bool, int, float, str, tuple)
        options = {name: value for name, value in vars(self.baseline).items() if isinstance(value, kinds)}
        options |= {"class": type(self.baseline).__name__, "seconds": None}  # the time of the fit decides nothing
        return fingerprint(code_fingerprint(), options, self.baseline, self.sigma)

    def resolved(self) -> dict[str, Any]:
        """The device, and the time of the fit, which is no part of the seconds of an image."""
        return {**super().resolved(), "fit_seconds": self.baseline.seconds}

    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """The anomaly map, and the restored images if the baseline restores images."""
        prediction = self.baseline.predict(batch.observed)
        self.bar.update(len(batch))
        restored = {} if prediction.restored is None else {"restored": prediction.restored}
        score = {} if prediction.image_scores is None else {"score": prediction.image_scores}
        return {**restored, **score, "map": prediction.anomaly_map(self.sigma)}


def _stack(results: list[Result], key: str, batch: Batch) -> Tensor | None:
    """Tensor (B,...) of one array of all results on the device of the batch; None if the results do not have it."""
    if key not in results[0]:
        return None
    return torch.from_numpy(np.stack([result[key] for result in results])).to(batch.observed.device)
