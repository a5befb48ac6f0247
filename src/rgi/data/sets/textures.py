"""Real images without a download: the CC0 photographs of brick, grass and gravel that scikit-image carries.

A photograph (512x512, grey) is cut at half scale into patches of 64x64 pixels. A middle band is kept from training;
test patches come from its larger, right part and carry synthetic defects, validation patches from the left one.
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
WINDOW = 2 * RESOLUTION  # pixels of the photograph that make one patch, at half scale
# (top, bottom, left, right) in pixels of the photograph. A middle band: every row of bricks has a scale of its own
# (the wall is seen at an angle), so that testing at one end would test extrapolation.
REGIONS = {
    "train": ((0, 176, 0, 512), (336, 512, 0, 512)),
    "validation": ((176, 336, 0, 160),),
    "test": ((176, 336, 160, 512),),
}
CLEAN = "good"
ONLY_SIZE = Allowed(f"{RESOLUTION}, as the patches are; use dataset.resolution={RESOLUTION} dataset.channels=1")
ONLY_MODE = Allowed(f"1, as the patches are grey; use dataset.resolution={RESOLUTION} dataset.channels=1")


class Textures:
    """Patches of one photograph.

    Args:
        category: brick, grass or gravel.
        resolution, channels: 64 and 1, or else an error: the patches are what they are.
        test_images: how many test patches; a fifth is clean, the rest is shared by the four kinds of defect.
        seed: places the test patches and paints their defects, each by its own name.

    Raises:
        InputError: an unknown category, another resolution or channel count, no test patch, a negative seed.
    """

    name = "textures"
    terms = "CC0 (public domain) photographs distributed with scikit-image."

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

    def prepare(self) -> None:
        """Check that the photograph is there and is what we expect."""
        self.photograph()

    def photograph(self) -> np.ndarray:
        """The photograph, (512,512) float32 in [-1, 1]."""
        # Not skimage.data_dir: where pooch is installed, that is a cache, which scikit-image fills on demand.
        path = Path(skimage.__file__).parent / "data" / f"{self.category}.png"
        if not path.is_file():
            raise InputError(f"{path}: missing from the scikit-image installation; reinstall scikit-image")
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), np.float32)
        if pixels.shape != (512, 512):
            raise InputError(f"{path}: is {pixels.shape}, expected 512x512; reinstall scikit-image")
        return pixels / 127.5 - 1

    def train(self) -> "Patches":
        """Every patch of the training region, and its mirror image (the wall recedes symmetrically)."""
        return Patches(self.photograph(), corners("train"), mirrored=True)

    def validation(self) -> "Patches":
        """Clean patches that neither training nor testing sees, 4 pixels apart."""
        return Patches(self.photograph(), corners("validation")[::17], mirrored=False)

    def test(self) -> "DefectivePatches":
        """The test patches, with their defects, masks and clean originals."""
        return DefectivePatches(self)


def corners(split: str) -> np.ndarray:
    """Top left corners (N,2) of all windows that lie wholly inside a region of the split, row by row."""
    grids = [
        np.stack(np.meshgrid(np.arange(top, bottom - WINDOW + 1), np.arange(left, right - WINDOW + 1), indexing="ij"))
        for top, bottom, left, right in REGIONS[split]
    ]
    return np.concatenate([grid.reshape(2, -1).T for grid in grids])


class Patches(Dataset[Tensor]):
    """Clean patches (1,64,64) at given corners of a photograph."""

    def __init__(self, photograph: np.ndarray, corners: np.ndarray, mirrored: bool) -> None:
        self.photograph, self.corners, self.mirrored = photograph, corners, mirrored

    def __len__(self) -> int:
        return len(self.corners) * (2 if self.mirrored else 1)

    def __getitem__(self, index: int) -> Tensor:
        mirror, index = divmod(index, len(self.corners))
        patch = torch.from_numpy(cut(self.photograph, self.corners[index]))
        return patch.flip(-1) if mirror else patch


def cut(photograph: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The window at ``corner``, averaged over 2x2 pixels: (1,64,64)."""
    top, left = corner
    window = photograph[top : top + WINDOW, left : left + WINDOW]
    return window.reshape(1, RESOLUTION, 2, RESOLUTION, 2).mean((2, 4))


class DefectivePatches(Dataset[Batch]):
    """Test patches: of each five, four carry one kind of defect each and one is clean.

    A patch's place, defect and contrast follow from its name and the dataset's seed alone. Contrasts alternate within
    a kind between faint (0.3 to 1 standard deviations of the patch) and plain (1 to 3).
    """

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
