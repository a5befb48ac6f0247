"""Training images for Lightning: batches that are a function of seed and step, whatever interrupts the training."""

from collections.abc import Iterator
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rgi.data.images import scale_pixels


class TrainingData(LightningDataModule):
    """Random batches of clean images, by step number.

    Args:
        images: (C,H,W) in [-1, 1] each.
        batch_size: images of one process in a step, at least 1.
        steps: of the whole training.
        seed: of the order of the images.
    """

    def __init__(self, images: Dataset[Tensor], batch_size: int, steps: int, seed: int) -> None:
        super().__init__()
        self.images, self.batch_size, self.steps, self.seed = images, batch_size, steps, seed

    def train_dataloader(self) -> DataLoader:
        """Batches of the steps that are left."""
        batches = StepBatches(
            len(self.images),
            self.batch_size,
            steps=self.steps,
            start=self.trainer.lightning_module.steps_done,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        cuda = self.trainer.strategy.root_device.type == "cuda"
        return StepLoader(self.images, batch_sampler=batches, collate_fn=collate_images, pin_memory=cuda)

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Tensor:
        """Pixels become images (B,C,H,W) in [-1, 1] on the device, where that costs nothing."""
        return scale_pixels(batch) if batch.dtype == torch.uint8 else batch


class StepLoader(DataLoader):
    """Resumes by step: Lightning, which asks for a state, need not warn that it has none."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: `StepBatches` begins where the training is."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""


def collate_images(images: Tensor | list[Tensor]) -> Tensor:
    """One batch (B,C,H,W) of what a dataset gives: a whole batch already, or its images one by one."""
    return images if isinstance(images, Tensor) else torch.stack(images)


class StepBatches(Sampler[list[int]]):
    """Indices of the batch of each training step, a function of seed and step alone.

    The sequence runs through one random permutation of the data after another, so that every image is seen equally
    often; a process takes its slice of the joint batch. Iteration begins at ``start``, the length stays ``steps``:
    Lightning counts the batches before a resumed step as done.
    """

    def __init__(
        self,
        image_count: int,
        batch_size: int,
        steps: int,
        start: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.image_count, self.batch_size, self.steps, self.start = image_count, batch_size, steps, start
        self.seed, self.rank, self.world_size = seed, rank, world_size

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, []
        for step in range(self.start, self.steps):
            first = (step * self.world_size + self.rank) * self.batch_size
            batch = []
            for position in range(first, first + self.batch_size):
                wanted, index = divmod(position, self.image_count)
                if wanted != epoch:
                    epoch, order = wanted, self._permutation(wanted)
                batch.append(order[index])
            yield batch

    def _permutation(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(self.image_count, generator=generator).tolist()
