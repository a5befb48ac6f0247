"""Base class of the LightningModules of methods: it saves results and computes scores."""

import gc
import logging
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from tqdm import tqdm

from rgi.data.batch import Batch
from rgi.data.tiles import Tiling
from rgi.evaluation.fingerprint import image_fingerprints
from rgi.evaluation.results import Result, load_result, save_result, stored_fingerprint
from rgi.evaluation.tiled import solve_by_tiles
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
        side: height and width in pixels of the images that the method solves; larger pictures are solved by tiles.
    """

    __test__ = False  # pytest would take the class for a test case
    optimises_mask = False

    def __init__(self, method: str, results: Path, steps: int, side: int) -> None:
        super().__init__()
        self.method, self.results, self.steps, self.side = method, results, steps, side
        self.tiles_at_once = 32  # highest number of tiles of a picture in a batch
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
        self.fingerprint, self.outdated, self.vanished = self.identity(), 0, []
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
            truth = batch.mask if batch.counted is None else batch.mask * batch.counted
            vanished = batch.defective & ~truth.flatten(1).any(1)
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
            counted=scored.counted,
        )

    def predict_step(self, batch: Batch, index: int) -> list[Result]:
        return self.batch_results(batch)

    def on_test_epoch_end(self) -> None:
        """Log the scores of all test images; torchmetrics joins the processes."""
        values = {name: torch.as_tensor(value).float() for name, value in self.scores.compute().items()}
        self.log_dict(values, sync_dist=True)  # without sync_dist, Lightning would warn

    def batch_results(self, batch: Batch) -> list[Result]:
        """Results of the images in a batch; only images without a fitting result file are solved."""
        known = batch.mask, batch.clean, batch.defective, batch.counted
        expected = image_fingerprints(self.fingerprint, batch.observed, *known)
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
        tensors = {"observed": batch.observed, **self._solved(batch)}
        device = metric_device(self.device)
        batch, tensors = batch.to(device), {name: tensor.to(device) for name, tensor in tensors.items()}
        if batch.counted is not None:  # nothing is anomalous outside, also not for a method's own score
            maps = {name: tensors[name] * batch.counted[:, 0] for name in ("map", "paper_map") if name in tensors}
            tensors |= maps | {"score": maps["map"].amax((1, 2)), "counted": batch.counted}
        tensors.setdefault("score", tensors["map"].amax((1, 2)))
        if batch.mask is not None:
            tensors["truth"] = batch.mask if batch.counted is None else batch.mask * batch.counted
            tensors["pixel_auroc"] = auroc_per_image(tensors["map"], batch.mask, batch.counted)
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

    def _solved(self, batch: Batch) -> dict[str, Tensor]:
        """`solve`, by tiles for a picture that is larger than the images of the method."""
        height, width = batch.observed.shape[-2:]
        if (height, width) == (self.side, self.side):
            return self.solve(batch)
        tiling = Tiling(height, width, self.side)
        if self.bar.total is not None:
            self.bar.total += (len(tiling) - 1) * self.steps  # the sizes of pictures are not known before
        return solve_by_tiles(self.solve, batch, tiling, self.tiles_at_once)


def _stack(results: list[Result], key: str, batch: Batch) -> Tensor | None:
    """Tensor (B,...) of one array of all results on the device of the batch; None if the results do not have it."""
    if key not in results[0]:
        return None
    return torch.from_numpy(np.stack([result[key] for result in results])).to(batch.observed.device)
