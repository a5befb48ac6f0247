"""Cost of reading images in training: the compact GAN with images from files and with images in memory.

Both trainings use `SmallDataTraining` with Lightning, like a user's training. The images from files are decoded before,
so a batch comes from the cache file (see `rgi.data.cache`). The images in memory are one tensor.
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
FIT_STEPS = R1_INTERVAL  # steps of a fit; the first step has the R1 penalty and opens files, so it is not timed
TARGET = 1.1  # highest ratio of the step times, files over memory


class MemoryFolder(Folder):
    """Images of a folder in memory."""

    def train(self) -> Dataset[Tensor]:
        """Training images as one tensor."""
        return TensorDataset(torch.stack(list(super().train())))


class TensorDataset(Dataset[Tensor]):
    """Dataset of the images in a tensor (N,C,H,W). A batch is one indexing operation."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: list[int]) -> Tensor:
        return self.images[indices]


class StepTimes(Callback):
    """Callback that stores the time at the end of each step in ``seconds``."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Store the time after the device has finished the step."""
        self.seconds.append(now(trainer.strategy.root_device))


def data_rows(images: int, rounds: int, width: int, device: torch.device) -> list[Row]:
    """Measure the step time with images from files and with images in memory, in alternation.

    Args:
        images: number of image files.
        rounds: fits of `FIT_STEPS` steps with each kind of images.
        width: width of the networks.
        device: device of the training.

    Returns:
        Rows of the table.
    """
    torch.set_num_threads(CORES)
    steps = {"files": [], "memory": []}
    with TemporaryDirectory() as folder, patch.dict(os.environ, RGI_CACHE=f"{folder}/cache"):
        write_images(Path(folder, "images"), images)
        options = {"root": f"{folder}/images", "train": f"{folder}/images", "resolution": PIXELS, "channels": 3}
        sets = {"files": Folder(**options), "memory": MemoryFolder(**options)}
        len(sets["memory"].train().images)  # decodes the files
        for _ in tqdm(range(rounds), desc="training from files and from memory", leave=False):
            for method, images_of in sets.items():
                steps[method] += fit(images_of, width, device)
    seconds = {method: median(times) for method, times in steps.items()}
    case = f"data_{PIXELS}_{'gpu' if device.type == 'cuda' else 'cpu'}"
    rows = [Row(case, BATCH, method, "step_seconds", value, "s") for method, value in seconds.items()]
    numbers = (
        ("timed_steps", len(steps["files"])),
        ("time_over_memory", seconds["files"] / seconds["memory"]),
        ("target", TARGET),
    )
    return rows + [Row(case, BATCH, "files", *number, "") for number in numbers]


def write_images(folder: Path, count: int) -> None:
    """Write PNG files with random pixels.

    Args:
        folder: new folder of the files.
        count: number of files.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (PIXELS, PIXELS, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")


def fit(images: ImageSet, width: int, device: torch.device) -> list[float]:
    """Train a new GAN and return the seconds of all steps except the first.

    Args:
        images: dataset.
        width: width of the networks.
        device: device of the training.
    """
    torch.manual_seed(0)
    sizes = {"latent_dim": LATENT, "channels": 3, "resolution": PIXELS, "options": {"width": width}}
    training = SmallDataTraining(family="compact", **sizes, steps=FIT_STEPS, seed=0, **training_options("compact"))
    step_times = StepTimes()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hides advertisements
    with warnings.catch_warnings(action="ignore"):  # hides Lightning's advice on workers and loggers
        trainer = Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            max_steps=FIT_STEPS,
            callbacks=[step_times],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(training, datamodule=TrainingData(images.train(), BATCH, FIT_STEPS, seed=0))
    return np.diff(step_times.seconds).tolist()
