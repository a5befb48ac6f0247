"""Training images for Lightning. A batch depends only on the seed and the step, also after an interruption."""

from collections.abc import Iterator
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rgi.data.images import scale_pixels


class TrainingData(LightningDataModule):
    """Random batches of training images.

    Args:
        images: dataset of clean images (C,H,W) in [-1, 1].
        batch_size: number of images per step and process, at least 1.
        steps: number of steps of the whole training.
        seed: seed of the order of the images.
    """

    def __init__(self, images: Dataset[Tensor], batch_size: int, steps: int, seed: int) -> None:
        super().__init__()
        self.images, self.batch_size, self.steps, self.seed = images, batch_size, steps, seed

    def train_dataloader(self) -> DataLoader:
        """Batches of the remaining steps."""
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
        """Convert uint8 pixels to images (B,C,H,W) in [-1, 1] on the device."""
        return scale_pixels(batch) if batch.dtype == torch.uint8 else batch


class StepLoader(DataLoader):
    """A loader with an empty state, because Lightning warns about loaders without a state."""

    def state_dict(self) -> dict[str, Any]:
        """An empty state: `StepBatches` begins at the current step."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore nothing."""


def collate_images(images: Tensor | list[Tensor]) -> Tensor:
    """Make one batch (B,C,H,W) of a list of images; a batch is returned unchanged."""
    return images if isinstance(images, Tensor) else torch.stack(images)


class StepBatches(Sampler[list[int]]):
    """Indices of the images in the batch of each training step.

    The sequence is one random permutation of the images after another, so all images appear equally often. Each process
    takes its part of the joint batch. The iteration begins at ``start``, but the length is ``steps``, because Lightning
    counts the batches before a resumed step as done.

    Args:
        image_count: number of images.
        batch_size: number of images per step and process.
        steps: number of steps of the whole training.
        start: number of the first step.
        seed: seed of the permutations.
        rank: number of this process.
        world_size: number of processes.
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
