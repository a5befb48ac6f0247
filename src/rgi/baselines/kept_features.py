"""Feature maps of clean images in a folder, so that they are computed once, and not again by each run."""

import contextlib
import hashlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path("data/features")  # in the working directory; may be deleted at any time
UNREADABLE = (OSError, EOFError, BadZipFile, ValueError)


class KeptFeatures(nn.Module):
    """A feature extractor whose maps of clean images are kept in a folder, 0.1 MB for each image.

    A call computes the maps, as without this class. `kept` reads them if it can.

    Args:
        network: feature extractor; its maps of an image must not depend on other images.
        name: name of the network, a folder in `FOLDER`. Other weights and other code need another name.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.network(images)

    def kept(self, images: Tensor) -> list[Tensor]:
        """The maps of images (B,C,H,W), rounded to float16; they are computed for the images that have no file.

        A file is named after the checksum of the image. A damaged file counts as missing. If the folder cannot be
        written, nothing is kept.
        """
        files = [FOLDER / self.name / f"{checksum(image)}.npz" for image in images]
        found = [_read(file) for file in files]
        missing = [i for i, maps in enumerate(found) if maps is None]
        if missing:
            computed = [maps.half().cpu() for maps in self.network(images[missing])]
            for row, i in enumerate(missing):
                found[i] = [maps[row] for maps in computed]
                _write(files[i], found[i])
        return [torch.stack(maps).to(images.device, torch.float32) for maps in zip(*found, strict=True)]


def checksum(image: Tensor) -> str:
    """SHA-256 of an image (C,H,W): of its shape and its float32 values."""
    values = np.ascontiguousarray(image.detach().float().cpu().numpy())
    return hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).hexdigest()


def _read(file: Path) -> list[Tensor] | None:
    try:
        # The archive has a checksum of each array, so a file that was written only in part is an error.
        with np.load(file, allow_pickle=False) as arrays:
            return [torch.from_numpy(arrays[name]) for name in arrays.files]
    except UNREADABLE:
        return None


def _write(file: Path, maps: list[Tensor]) -> None:
    with contextlib.suppress(OSError):  # no space or no permission: the next run computes the maps again
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, *[each.numpy() for each in maps])
