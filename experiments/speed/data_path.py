"""What reading images costs a training: the compact GAN from a folder of files against images that are in memory.

Both are `SmallDataTraining` under Lightning, as a user runs it. The files have been decoded before, so a batch comes
out of the cache's file (see `rgi.data.cache`); the other side indexes one tensor of the same images.
"""

import logging
import os
import warnings
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
from cases import training_options
from measure import CORES, now
from PIL import Image
from pytorch_lightning import Callback, Trainer
from table import Row
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from rgi.data.protocol import ImageSet
from rgi.data.sets.folder import Folder
from rgi.training.loader import TrainingData
from rgi.training.small_data import R1_INTERVAL, SmallDataTraining

PIXELS, BATCH, LATENT = 64, 32, 128
FIT = R1_INTERVAL  # steps of one fit; the first of them, with the penalty and the opening of the files, is not timed
TARGET = 1.1  # the step from files over that from memory


class Memory(Folder):
    """The images of a folder in one tensor."""

    def train(self) -> Dataset[Tensor]:
        """Taken out in batches."""
        return Stack(torch.stack(list(super().train())))


class Stack(Dataset[Tensor]):
    """Rows of a tensor (N,C,H,W)."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: list[int]) -> Tensor:
        return self.images[indices]


class Stamps(Callback):
    """The time at the end of every step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """When the device has done the step."""
        self.seconds.append(now(trainer.strategy.root_device))


def data_rows(images: int, rounds: int, width: int, device: torch.device) -> list[Row]:
    """Seconds per step from both; the two take turns, a fit of `FIT` steps of a network of this width each."""
    torch.set_num_threads(CORES)
    steps = {"files": [], "memory": []}
    with TemporaryDirectory() as folder, patch.dict(os.environ, RGI_CACHE=f"{folder}/cache"):
        write_images(Path(folder, "images"), images)
        place = {"root": f"{folder}/images", "train": f"{folder}/images", "resolution": PIXELS, "channels": 3}
        sets = {"files": Folder(**place), "memory": Memory(**place)}
        len(sets["memory"].train().images)  # decodes
        for _ in tqdm(range(rounds), desc="training from files and from memory", leave=False):
            for method, images_of in sets.items():
                steps[method] += fit(images_of, width, device)
    seconds = {method: median(taken) for method, taken in steps.items()}
    case = f"data_{PIXELS}_{'gpu' if device.type == 'cuda' else 'cpu'}"
    rows = [Row(case, BATCH, method, "step_seconds", taken, "s") for method, taken in seconds.items()]
    numbers = (
        ("timed_steps", len(steps["files"])),
        ("time_over_memory", seconds["files"] / seconds["memory"]),
        ("target", TARGET),
    )
    return rows + [Row(case, BATCH, "files", *number, "") for number in numbers]


def write_images(folder: Path, count: int) -> None:
    """Pictures of noise."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (PIXELS, PIXELS, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")


def fit(images: ImageSet, width: int, device: torch.device) -> list[float]:
    """Seconds of the steps of a fresh training, but for the first, each from the end of the one before."""
    torch.manual_seed(0)
    sizes = {"latent_dim": LATENT, "channels": 3, "resolution": PIXELS, "options": {"width": width}}
    training = SmallDataTraining(family="compact", **sizes, steps=FIT, seed=0, **training_options("compact"))
    stamps = Stamps()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it advertises other products
    with warnings.catch_warnings(action="ignore"):  # Lightning's advice on workers and loggers
        trainer = Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            max_steps=FIT,
            callbacks=[stamps],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(training, datamodule=TrainingData(images.train(), BATCH, FIT, seed=0))
    return np.diff(stamps.seconds).tolist()
