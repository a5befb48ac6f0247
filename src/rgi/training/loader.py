"""Datasets to Lightning: batches that do not depend on interruptions or on the number of processes."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rgi.data.batch import Batch
from rgi.data.images import to_unit
from rgi.errors import InputError


class ImageSet(Protocol):
    """What every dataset of this package offers."""

    name: str
    category: str
    channels: int
    resolution: int
    terms: str

    def prepare(self) -> None:
        """Check everything that can be wrong with the data, before any work."""

    def train(self) -> Dataset[Tensor]:
        """Clean images (C,H,W) in [-1, 1] to train a generator on."""

    def validation(self) -> Dataset[Tensor]:
        """Clean images that training never sees."""

    def test(self) -> "TestSet":
        """Test images, each a `Batch` of one."""


class TestSet(Protocol):
    """Test images in a fixed order."""

    names: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...


def spread(count: int, most: int | None) -> list[int]:
    """Positions of at most so many of ``count`` things, evenly spread; None takes all."""
    if most is None or most >= count:
        return list(range(count))
    return [i * count // most for i in range(most)]


class CleanSample:
    """Clean images in place of a set's test images.

    Args:
        images: (C,H,W) each.
        category: what their set is called.
    """

    def __init__(self, images: list[Tensor], category: str) -> None:
        self.images, self.category = images, category

    def test(self) -> "CleanBatches":
        """The images, each a `Batch` of one with an empty mask."""
        return CleanBatches(self.images, self.category)


class CleanBatches(Dataset[Batch]):
    """Images (C,H,W) as batches of one, named by their number."""

    def __init__(self, images: list[Tensor], category: str) -> None:
        self.images, self.category = images, category
        self.names = [f"{number:03d}" for number in range(len(images))]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        image = self.images[index][None]
        return Batch(image, torch.zeros_like(image[:, :1]), None, [self.names[index]], [self.category])


class ImageData(LightningDataModule):
    """Random training batches by step number; test batches in order, each image on exactly one process."""

    def __init__(self, images: ImageSet, batch_size: int, seed: int = 0, steps: int = 0) -> None:
        super().__init__()
        if type(batch_size) is not int or batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be a whole number of at least 1")
        self.images, self.batch_size, self.seed, self.steps = images, batch_size, seed, steps

    def train_dataloader(self) -> DataLoader:
        """Batches of the steps that are left."""
        training = self.images.train()
        batches = StepBatches(
            len(training),
            self.batch_size,
            steps=self.steps,
            start=self.trainer.lightning_module.steps_done,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )
        cuda = self.trainer.strategy.root_device.type == "cuda"
        return StepLoader(training, batch_sampler=batches, collate_fn=join, pin_memory=cuda)

    def on_after_batch_transfer(self, batch: Tensor | Batch, dataloader_idx: int) -> Tensor | Batch:
        """Pixels become images (B,C,H,W) in [-1, 1] on the device, where that costs nothing."""
        return to_unit(batch) if isinstance(batch, Tensor) and batch.dtype == torch.uint8 else batch

    def test_dataloader(self) -> DataLoader:
        """This process's share of the test images, of which there must be one at least: the others would wait."""
        images = self.images.test()
        rank, world = self.trainer.global_rank, self.trainer.world_size
        share = range(rank, len(images), world)
        return DataLoader(images, batch_size=self.batch_size, sampler=share, collate_fn=Batch.collate)

    predict_dataloader = test_dataloader


class StepLoader(DataLoader):
    """Resumes by step: Lightning, which asks for a state, need not warn that it has none."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: `StepBatches` begins where the training is."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""


def join(images: Tensor | list[Tensor]) -> Tensor:
    """One batch (B,C,H,W) of what a dataset gives: a whole batch already, or its images one by one."""
    return images if isinstance(images, Tensor) else torch.stack(images)


class StepBatches(Sampler[list[int]]):
    """Indices of the batch of each training step, a function of seed and step alone.

    The sequence runs through one random permutation of the data after another, so that every image is seen equally
    often; a process takes its slice of the joint batch. Iteration begins at ``start``, the length stays ``steps``:
    Lightning counts the batches before a resumed step as done.
    """

    def __init__(
        self, images: int, batch_size: int, steps: int, start: int = 0, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.images, self.batch_size, self.steps, self.start = images, batch_size, steps, start
        self.seed, self.rank, self.world = seed, rank, world

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, []
        for step in range(self.start, self.steps):
            first = (step * self.world + self.rank) * self.batch_size
            batch = []
            for position in range(first, first + self.batch_size):
                wanted, index = divmod(position, self.images)
                if wanted != epoch:
                    epoch, order = wanted, self._permutation(wanted)
                batch.append(order[index])
            yield batch

    def _permutation(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(self.images, generator=generator).tolist()
