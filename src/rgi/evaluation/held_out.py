"""Test images without labels: held-out clean images, as they are or with painted defects; scores of clean images."""

import copy
from pathlib import Path

import torch
from torch.utils.data import Dataset

from rgi.data.batch import Batch
from rgi.data.corruptions.corrupted_set import CorruptedSet, CorruptedTestSet
from rgi.data.corruptions.corruption import Corruption
from rgi.data.protocol import ImageSet, TestSet, evenly_spaced, stack_images
from rgi.evaluation.loader import CleanBatches
from rgi.evaluation.results import load_result

MASKED = 0.5  # lowest mean mask value, exclusive, of a masked pixel, as in `rgi.metrics.standard.mask_iou`


class Part(Dataset[Batch]):
    """Some of the test images.

    Args:
        tests: test images.
        positions: positions of the chosen images.
    """

    def __init__(self, tests: TestSet, positions: list[int]) -> None:
        self.tests, self.positions, self.equal_sizes = tests, positions, tests.equal_sizes
        self.names = [tests.names[position] for position in positions]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Batch:
        return self.tests[self.positions[index]]


def evenly_spaced_part(tests: TestSet, limit: int) -> Part:
    """Evenly spaced test images, so that all kinds of defects are among them.

    Args:
        tests: test images.
        limit: highest number of images.
    """
    return Part(tests, evenly_spaced(len(tests), limit))


def with_tests(images: ImageSet, tests: TestSet) -> ImageSet:
    """A copy of a dataset with other test images.

    Args:
        images: dataset.
        tests: test images of the copy.
    """
    copied = copy.copy(images)
    copied.test = lambda: tests
    return copied


def clean_tests(images: ImageSet, limit: int) -> CleanBatches:
    """Held-out clean images as test images.

    Args:
        images: dataset with validation images.
        limit: highest number of images.

    Raises:
        InputError: the dataset has no validation images.
    """
    held_out = images.validation()
    return CleanBatches(list(stack_images(held_out, limit)), images.category, images.counted)


def painted_tests(images: ImageSet, defects: Corruption, limit: int) -> Part:
    """Held-out clean images with painted defects; images of a `CorruptedSet` get its own corruption instead.

    Each defect is on another image as long as there are images; then an image appears with further kinds.

    Args:
        images: dataset with validation images.
        defects: painter of the defects.
        limit: highest number of painted images.

    Raises:
        InputError: the dataset has no validation images, or the corruption does not suit them.
    """
    if isinstance(images, CorruptedSet):
        images, defects = images.images, images.corruption
    clean = clean_tests(images, limit)
    count, kinds = len(clean), max(1, len(defects.kinds))
    painted = CorruptedTestSet(clean, list(range(count)), defects, images.train)
    defects.check(painted.names, images.resolution, painted.fill_images)
    pairs = [(i % count, i // count) for i in range(min(limit, count * kinds))]
    return Part(painted, sorted((image + turn) % kinds * count + image for image, turn in pairs))


def clean_scores(results: Path, names: list[str]) -> dict[str, float]:
    """Scores of the results of clean images; a method that restores no image, or has no mask, lacks that score.

    Args:
        results: folder of the results.
        names: names of the images.

    Returns:
        ``clean/gap``, the root mean square of x - G(z) over all pixels, and ``clean/false_positive_rate``, the share of
        pixels that the method's mask marks as corrupted.
    """
    stored = [load_result(results, name, ("observed",), ("restored", "mask")) for name in names]
    scores = {}
    if all("restored" in each for each in stored):
        squares = [torch.from_numpy(each["observed"] - each["restored"]).square().mean() for each in stored]
        scores["clean/gap"] = torch.stack(squares).mean().sqrt().item()
    if all("mask" in each for each in stored):
        shares = [(torch.from_numpy(each["mask"]).abs().mean(0) > MASKED).float().mean() for each in stored]
        scores["clean/false_positive_rate"] = torch.stack(shares).mean().item()
    return scores
