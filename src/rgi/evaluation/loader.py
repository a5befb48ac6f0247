"""Test images for Lightning, in a fixed order and without duplicates on several processes."""

from pytorch_lightning import LightningDataModule
from torch import Tensor, zeros_like
from torch.utils.data import DataLoader, Dataset

from rgi.data.batch import Batch
from rgi.data.protocol import TestSet


class TestData(LightningDataModule):
    """Batches of test images; process r of w takes the images r, r+w, r+2w, ...

    Args:
        images: test images.
        batch_size: number of images in a batch, at least 1; pictures of several sizes come one by one.
    """

    __test__ = False  # pytest would take the class for a test case

    def __init__(self, images: TestSet, batch_size: int) -> None:
        super().__init__()
        self.images, self.batch_size = images, batch_size
        self.allow_zero_length_dataloader_with_multiple_devices = True  # more processes than clean images

    def test_dataloader(self) -> DataLoader:
        """The images of this process: at least one for scores, perhaps none for results alone."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        share = range(rank, len(self.images), world)
        batch_size = self.batch_size if self.images.equal_sizes else 1
        return DataLoader(self.images, batch_size=batch_size, sampler=share, collate_fn=Batch.collate)

    predict_dataloader = test_dataloader


class CleanBatches(Dataset[Batch]):
    """Clean images as test images: each a `Batch` of one with an empty mask. The name of an image is its number.

    Args:
        images: clean images (C,H,W).
        category: category of the dataset.
        counted: region of the images that counts, (1,H,W) in {0,1}; None if all pixels count.
    """

    equal_sizes = True

    def __init__(self, images: list[Tensor], category: str, counted: Tensor | None = None) -> None:
        self.images, self.category = images, category
        self.counted = None if counted is None else counted[None]
        self.names = [f"{number:03d}" for number in range(len(images))]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        image = self.images[index][None]
        return Batch(image, zeros_like(image[:, :1]), None, [self.names[index]], [self.category], None, self.counted)
