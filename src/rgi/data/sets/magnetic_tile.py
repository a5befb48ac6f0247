"""Magnetic tile defects: grey photographs of tiles, several per tile, with a mask for each photograph.

Huang, Qiu, Guo, Wang, Yuan, "Surface defect saliency of magnetic tile", The Visual Computer 36 (2020).
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rgi.data.files import HOLD_OUT_INTERVAL, Channels, FileSet, Resolution
from rgi.data.images import FORMATS
from rgi.data.listing import Sample, expanded
from rgi.errors import InputError
from rgi.validation import Count, Name, Text, checked

PAGE = "https://github.com/abin24/Magnetic-tile-defect-datasets."
DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
CLEAN = "Free"
GAP = 200  # largest difference between the numbers of successive photographs of one tile


class MagneticTile(FileSet):
    """All tiles in the original layout: ``root/MT_<kind>/Imgs/exp<E>_num_<N>.jpg``, each with a mask ``.png``.

    A tile has up to six photographs with close numbers N, so the photographs are split by tile. All photographs of a
    tile with a defect are test images, also the clean ones. Every tenth of the other tiles is for validation, and the
    rest is for training. Photographs of a defect whose mask has no value above 127 are left out, because the position
    of the defect is unknown; in the published dataset these are four photographs of the kind ``Uneven``.

    Args:
        root: folder with the folders ``MT_<kind>``.
        resolution: height and width in pixels to which images are resized, without keeping the aspect ratio.
        channels: number of channels, 1 (grey) or 3 (RGB).
        images_per_kind: number of test images of each kind of defect, evenly spaced; the number of clean test images is
            twice as large. None for all test images.
        category: name of the category in tables and file names.
        shared: further options of `FileSet`.
    """

    name = "magnetic_tile"
    terms = "Magnetic tile defect dataset, free to use; cite Huang et al., The Visual Computer 2020."

    @checked("dataset")
    def __init__(
        self,
        root: Text,
        resolution: Resolution,
        channels: Channels,
        images_per_kind: Count | None,
        category: Name = "tile",
        **shared: Any,
    ) -> None:
        super().__init__(category, resolution, channels, **shared)
        self.root, self.images_per_kind = root, images_per_kind

    def training_files(self) -> list[Path]:
        """The photographs of tiles without a defect, sorted by number."""
        return [path for tile in self._tiles(defective=False) for path in tile]

    def split(self, files: list[Path]) -> tuple[list[Path], list[Path]]:
        """Split the photographs by tile; every tenth tile is for validation."""
        kept: tuple[list[Path], list[Path]] = ([], [])
        for position, tile in enumerate(self._tiles(defective=False), start=1):
            kept[position % HOLD_OUT_INTERVAL == 0].extend(tile)
        return kept

    def samples(self) -> list[Sample]:
        """The photographs of tiles with a defect, sorted by name: ``<kind>/<stem>``, or ``good/<stem>`` if clean."""
        kinds: dict[str, list[Sample]] = {}
        for path in (path for tile in self._tiles(defective=True) for path in tile):
            kind, mask = _kind(path), path.with_suffix(".png")
            if not mask.is_file():
                raise InputError(f"{path}: has no mask; copy {mask.name} into the same folder")
            if kind == CLEAN:
                kinds.setdefault("good", []).append(Sample(f"good/{path.stem}", path, good=True))
            elif _marks_something(mask):
                kinds.setdefault(kind, []).append(Sample(f"{kind.lower()}/{path.stem}", path, mask))
        chosen = [sample for kind, samples in kinds.items() for sample in self._subset(kind, samples)]
        return sorted(chosen, key=lambda sample: sample.name)

    def _subset(self, kind: str, samples: list[Sample]) -> list[Sample]:
        if self.images_per_kind is None:
            return samples
        limit = self.images_per_kind * (2 if kind == "good" else 1)
        count = min(limit, len(samples))
        return [samples[i * len(samples) // count] for i in range(count)]

    def _tiles(self, defective: bool) -> list[list[Path]]:
        """The photographs of each tile with (or without) a defect, sorted by number."""
        root = expanded(self.root)
        if not root.is_dir():
            raise InputError(f"dataset.root={self.root}: no such folder; download the magnetic tiles from {PAGE}")
        photographs = []
        for kind in (CLEAN, *DEFECTS):
            folder = root / f"MT_{kind}" / "Imgs"
            files = sorted(folder.glob("*.jpg"))
            if not files:
                raise InputError(
                    f"{folder}: no such folder, or a folder without .jpg files; extract the whole archive from {PAGE}"
                )
            photographs += [(_number(path), path) for path in files]
        photographs.sort()
        tiles = [[photographs[0][1]]]
        for (before, _), (number, path) in pairwise(photographs):
            if number - before > GAP:
                tiles.append([])
            tiles[-1].append(path)
        return [tile for tile in tiles if any(_kind(path) != CLEAN for path in tile) == defective]


def _kind(path: Path) -> str:
    return path.parent.parent.name.removeprefix("MT_")


def _number(path: Path) -> int:
    match = re.fullmatch(r"exp\d+_num_(\d+)", path.stem)
    if not match:
        raise InputError(f"{path}: is not named exp<E>_num_<N>.jpg; remove the file")
    return int(match[1])


def _marks_something(mask: Path) -> bool:
    """Whether a mask has a value above 127; True for damaged files, which `check_mask` reports."""
    try:
        with Image.open(mask, formats=FORMATS) as file:
            return bool(np.asarray(file.convert("L")).max() > 127)
    except Exception:  # the type depends on the position of the damage
        return True
