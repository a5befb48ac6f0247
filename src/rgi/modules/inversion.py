"""Inversion under Lightning: solve each batch, keep every image's result as soon as it is there, score the whole."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from tqdm import tqdm

from rgi.data.batch import Batch
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert
from rgi.metrics.curves import auroc_per_image
from rgi.metrics.standard import PSNR, SSIM, ImageAUROC, PixelCurve, psnr, ssim

Result = dict[str, np.ndarray]  # one image's arrays and numbers, as its file holds them


class InversionModule(LightningModule):
    """The test step solves and scores, the predict step only solves.

    Each image's result goes to ``<results>/<name>.npz`` when its batch is done; an image whose file is there already
    is read back and not solved again. Since no result depends on the neighbours in a batch, an interrupted run ends
    with the numbers of an uninterrupted one.

    Args:
        gan: the generator and its critic.
        config: the method.
        method: its name, shown and recorded.
        results: the folder of this method's results.
        map_kind, sigma: of the anomaly map that is scored, see `rgi.inversion.result.Inversion.anomaly_map`.
        seed: of the latent pool.
    """

    def __init__(
        self, gan: GAN, config: SolverConfig, method: str, results: Path, map_kind: str | None, sigma: float, seed: int
    ) -> None:
        super().__init__()
        self.gan, self.config, self.method, self.results = gan, config, method, results
        self.map_kind, self.sigma, self.pool_seed = map_kind, sigma, seed
        self.networks = nn.ModuleDict(gan.modules())  # for Lightning to move
        self.pixels, self.images = PixelCurve(), ImageAUROC()
        self.restoration = nn.ModuleDict({"psnr": PSNR(), "ssim": SSIM()})
        self.bar = tqdm(disable=True)

    def on_test_start(self) -> None:
        loaders = self.trainer.test_dataloaders if self.trainer.testing else self.trainer.predict_dataloaders
        steps = len(loaders.sampler) * self.config.iterations
        self.bar = tqdm(total=steps, desc=self.method, unit="step", mininterval=1, disable=self.global_rank != 0)

    on_predict_start = on_test_start

    def on_test_end(self) -> None:
        self.bar.close()

    on_predict_end = on_test_end

    def test_step(self, batch: Batch, index: int) -> None:
        found = self.solve(batch)
        maps = self._stack(found, "map")
        if batch.mask is not None:
            self.pixels.update(maps, batch.mask)
            self.images.update(maps.amax((1, 2)), batch.mask.amax((1, 2, 3)))
        if batch.clean is not None:
            restored = self._stack(found, "restored")
            for metric in self.restoration.values():
                metric.update(restored, batch.clean)

    def predict_step(self, batch: Batch, index: int) -> list[Result]:
        return self.solve(batch)

    def on_test_epoch_end(self) -> None:
        """Pooled scores; torchmetrics adds the processes up."""
        scores: dict[str, Any] = {}
        if self.pixels.update_called:
            scores |= {**self.pixels.compute(), "image_auroc": self.images.compute()}
        scores |= {name: metric.compute() for name, metric in self.restoration.items() if metric.update_called}
        values = {f"standard/{name}": torch.as_tensor(value).float() for name, value in scores.items()}
        self.log_dict(values, sync_dist=True)  # the same on every process already; Lightning warns without

    def solve(self, batch: Batch) -> list[Result]:
        """Results of a batch, those on disk as they are."""
        files = [self.results / f"{name}.npz" for name in batch.name]
        missing = [i for i, file in enumerate(files) if not file.exists()]
        if missing:
            for i, result in zip(missing, self._invert(batch.select(missing)), strict=True):
                save(files[i], result)
        self.bar.update((len(files) - len(missing)) * self.config.iterations)
        return [load(file) for file in files]

    def _invert(self, batch: Batch) -> list[Result]:
        started = time.perf_counter()
        found = invert(
            self.gan,
            batch.observed,
            self.config,
            given_mask=batch.mask,
            seed=self.pool_seed,
            on_step=self.bar.update,
        )
        self.bar.update(int((self.config.iterations - found.iterations).sum()))  # steps that were not needed
        maps = found.anomaly_map(self.map_kind, self.sigma)
        tensors = {
            "observed": batch.observed,
            "restored": found.restored,
            "mask": found.mask,
            "map": maps,
            "latent": found.latent,
            "history": found.history.T,
            "objective": found.objective,
            "iterations": found.iterations,
            "score": maps.amax((1, 2)),
        }
        if batch.mask is not None:
            tensors |= {"truth": batch.mask, "pixel_auroc": auroc_per_image(maps, batch.mask)}
        if batch.clean is not None:
            tensors |= {"clean": batch.clean}
            tensors |= {"psnr": psnr(found.restored, batch.clean), "ssim": ssim(found.restored, batch.clean)}
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            {name: array[i] for name, array in arrays.items()}
            | {"seconds": np.float64(seconds), "category": np.str_(batch.category[i])}
            for i in range(len(batch))
        ]

    def _stack(self, found: list[Result], key: str) -> Tensor:
        return torch.from_numpy(np.stack([result[key] for result in found])).to(self.device)


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
    columns = ("category", "score", "objective", "iterations", "seconds", "pixel_auroc", "psnr", "ssim")
    table = []
    for name in names:
        result = load(results / f"{name}.npz")
        row = {"method": method, "name": name, "kind": name.rpartition("/")[0]}
        table.append(row | {column: result[column].item() for column in columns if column in result})
    return table
