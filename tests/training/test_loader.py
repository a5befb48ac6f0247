"""Training batches are a function of seed and step, and float images in [-1, 1] whatever the dataset gives."""

from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer

from rgi.data.images import read_image
from rgi.data.sets.folder import Folder
from rgi.data.sets.textures import Textures
from rgi.training.loader import StepBatches, TrainingData


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))


class Recorder(LightningModule):
    """Keeps the batches that a training gets."""

    steps_done = 0

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.batches = []

    def configure_optimizers(self):
        return []

    def training_step(self, real, index):
        self.batches.append(real)


def batches_of(images, tmp_path, steps):
    recorder = Recorder()
    quiet = {name: False for name in ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")}
    trainer = Trainer(accelerator="cpu", max_epochs=1, default_root_dir=tmp_path, **quiet)
    trainer.fit(recorder, datamodule=TrainingData(images.train(), batch_size=4, steps=steps, seed=1))
    return recorder.batches


def test_training_gets_the_images_of_the_files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "images" / f"{number:02d}.png")
    folder = Folder(str(tmp_path / "images"), 16, 3, train=str(tmp_path / "images"))
    found = batches_of(folder, tmp_path, steps=6)
    files = folder.train().files
    expected = [
        torch.stack([read_image(files[i], 3, 16) for i in indices]) for indices in StepBatches(len(files), 4, 6, seed=1)
    ]
    assert len(found) == 6
    assert all(map(torch.equal, found, expected))


def test_training_gets_images_that_are_float_already(tmp_path):
    textures = Textures("brick")
    patches = textures.train()
    (batch,) = batches_of(textures, tmp_path, steps=1)
    (indices,) = StepBatches(len(patches), 4, 1, seed=1)
    assert torch.equal(batch, torch.stack([patches[i] for i in indices]))


def test_a_resumed_sequence_goes_on_where_it_stopped():
    whole = list(StepBatches(10, 4, steps=20, seed=3))
    assert list(StepBatches(10, 4, steps=20, start=7, seed=3)) == whole[7:]
    assert list(StepBatches(10, 4, steps=20, seed=4)) != whole


def test_every_image_is_seen_equally_often():
    seen = list(chain.from_iterable(StepBatches(10, 4, steps=25, seed=0)))
    assert sorted(seen) == sorted(list(range(10)) * 10)
    assert all(len(set(seen[i : i + 10])) == 10 for i in range(0, 100, 10))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_one_sequence(world):
    """The slices of all processes, joined, are the batches of one process with the joint batch size."""
    parts = [StepBatches(12, 4, steps=6, seed=1, rank=rank, world_size=world) for rank in range(world)]
    joint = [list(chain.from_iterable(batches)) for batches in zip(*parts, strict=True)]
    assert joint == list(StepBatches(12, 4 * world, steps=6, seed=1))
