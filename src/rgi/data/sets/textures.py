"""Textures without a download: patches of the CC0 photographs of brick, grass and gravel in scikit-image.

A photograph has 512x512 grey pixels. A patch is a window of 128x128 pixels at half scale, that is 64x64 pixels.
Training patches come from the top and the bottom of the photograph. Validation patches come from the left part of the
middle band, and test patches from its right part. Test patches have synthetic defects.
"""

import zlib
from pathlib import Path
from typing import Annotated

import numpy as np
import skimage
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from rgi.data.batch import Batch
from rgi.data.corruptions import defects
from rgi.errors import InputError
from rgi.validation import Allowed, Count, Seed, checked, one_of

CATEGORIES = ("brick", "grass", "gravel")
RESOLUTION = 64
WINDOW = 2 * RESOLUTION  # side of a patch in pixels of the photograph
# (top, bottom, left, right) in pixels of the photograph. The test region is in the middle, because the scale of the
# bricks changes from top to bottom: a test region at one end would require extrapolation.
REGIONS = {
    "train": ((0, 176, 0, 512), (336, 512, 0, 512)),
    "validation": ((176, 336, 0, 160),),
    "test": ((176, 336, 160, 512),),
}
CLEAN = "good"
ONLY_SIZE = Allowed(f"{RESOLUTION}, the size of the patches; use dataset.resolution={RESOLUTION} dataset.channels=1")
ONLY_MODE = Allowed(f"1, because the patches are grey; use dataset.resolution={RESOLUTION} dataset.channels=1")


class Textures:
    """Patches of one photograph.

    Args:
        category: name of the photograph: brick, grass or gravel.
        resolution: height and width of a patch in pixels, always 64.
        channels: number of channels, always 1.
        test_images: number of test patches. A fifth of the patches is clean, and the others have one of four kinds of
            defect.
        seed: seed of the positions and the defects of test patches.

    Raises:
        InputError: an option is unknown or out of range.
    """

    name = "textures"
    patch = WINDOW
    counted = None
    terms = "CC0 (public domain) photographs distributed with scikit-image."
    note = ""

    @checked("dataset")
    def __init__(
        self,
        category: one_of(*CATEGORIES),
        resolution: Annotated[one_of(RESOLUTION), ONLY_SIZE] = RESOLUTION,
        channels: Annotated[one_of(1), ONLY_MODE] = 1,
        test_images: Count = 60,
        seed: Seed = 0,
    ) -> None:
        self.category, self.resolution, self.channels = category, resolution, channels
        self.test_images, self.seed = test_images, seed

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """Check the photograph, which has both training and test images.

        Raises:
            InputError: scikit-image does not contain the photograph in the expected size.
        """
        self.photograph()

    def photograph(self) -> np.ndarray:
        """The photograph as float32 (512,512) in [-1, 1]."""
        # skimage.data_dir does not work here: with pooch installed, it is a cache that may still be empty.
        path = Path(skimage.__file__).parent / "data" / f"{self.category}.png"
        if not path.is_file():
            raise InputError(f"{path}: missing from the scikit-image installation; reinstall scikit-image")
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), np.float32)
        if pixels.shape != (512, 512):
            raise InputError(
                f"{path}: has {pixels.shape[1]}x{pixels.shape[0]} pixels instead of 512x512; reinstall scikit-image"
            )
        return pixels / 127.5 - 1

    def train(self) -> "Patches":
        """All patches of the training region, and their mirror images."""
        return Patches(self.photograph(), corners("train"), mirrored=True)

    def validation(self) -> "Patches":
        """Clean patches of the validation region: every 17th window."""
        return Patches(self.photograph(), corners("validation")[::17], mirrored=False)

    def test(self) -> "DefectivePatches":
        """Test patches with their masks and clean originals."""
        return DefectivePatches(self)


def corners(split: str) -> np.ndarray:
    """Top left corners (N,2) of all windows inside a region of the split, row by row, in pixels of the photograph."""
    grids = [
        np.stack(np.meshgrid(np.arange(top, bottom - WINDOW + 1), np.arange(left, right - WINDOW + 1), indexing="ij"))
        for top, bottom, left, right in REGIONS[split]
    ]
    return np.concatenate([grid.reshape(2, -1).T for grid in grids])


class Patches(Dataset[Tensor]):
    """Clean patches (1,64,64) in [-1, 1].

    Args:
        photograph: the photograph (512,512).
        corners: top left corners of the patches, (N,2), in pixels of the photograph.
        mirrored: whether the dataset also contains the mirror image of each patch.
    """

    def __init__(self, photograph: np.ndarray, corners: np.ndarray, mirrored: bool) -> None:
        self.photograph, self.corners, self.mirrored = photograph, corners, mirrored

    def __len__(self) -> int:
        return len(self.corners) * (2 if self.mirrored else 1)

    def __getitem__(self, index: int) -> Tensor:
        mirror, index = divmod(index, len(self.corners))
        patch = torch.from_numpy(cut(self.photograph, self.corners[index]))
        return patch.flip(-1) if mirror else patch


def cut(photograph: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The patch (1,64,64) whose window has this top left corner: means over 2x2 pixels."""
    top, left = corner
    window = photograph[top : top + WINDOW, left : left + WINDOW]
    return window.reshape(1, RESOLUTION, 2, RESOLUTION, 2).mean((2, 4))


class DefectivePatches(Dataset[Batch]):
    """Test patches; in each group of five, four patches have one kind of defect each, and one patch is clean.

    The position, the defect and the contrast of a patch depend only on its name and the seed. Half of the defects are
    faint, with a contrast of 0.3 to 1 standard deviations of the patch. The other half has a contrast of 1 to 3.
    """

    equal_sizes = True

    def __init__(self, dataset: Textures) -> None:
        self.dataset, self.photograph, self.corners = dataset, dataset.photograph(), corners("test")
        kinds = (*defects.PAINTERS, CLEAN)
        places = (divmod(index, len(kinds)) for index in range(dataset.test_images))
        self.names = sorted(f"{kinds[kind]}/{number:03d}" for number, kind in places)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Batch:
        name, category = self.names[index], self.dataset.category
        kind, number = name.split("/")
        rng = np.random.default_rng([self.dataset.seed, zlib.crc32(f"{category}/{name}".encode())])
        clean = cut(self.photograph, rng.choice(self.corners))
        observed, mask = clean, np.zeros_like(clean)
        if kind != CLEAN:
            low, high = (0.3, 1.0) if int(number) % 2 == 0 else (1.0, 3.0)
            observed, mask = defects.paint(clean, kind, rng.uniform(low, high), rng)
        tensors = (torch.from_numpy(array)[None] for array in (observed, mask, clean))
        return Batch(*tensors, [name], [category])
