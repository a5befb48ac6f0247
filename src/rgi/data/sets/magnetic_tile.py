"""Magnetic tile defects: grey photographs of tiles under several exposures, with a mask for each.

Huang, Qiu, Guo, Wang, Yuan, "Surface defect saliency of magnetic tile", The Visual Computer 36 (2020).
"""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from rgi.data.files import HOLD_OUT_INTERVAL, Channels, FileSet, Resolution, Sample
from rgi.errors import InputError
from rgi.validation import Count, Name, Text, checked

PAGE = "https://github.com/abin24/Magnetic-tile-defect-datasets."
DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
CLEAN = "Free"
GAP = 200  # photographs of one tile have neighbouring numbers; a larger step between two begins another tile


class MagneticTile(FileSet):
    """All tiles in the original layout, ``root/MT_<kind>/Imgs/exp<E>_num_<N>.jpg`` with a ``.png`` mask beside each.

    A tile was photographed up to six times, with neighbouring numbers N. Photographs are therefore split by tile: those
    of a tile that shows a defect in any of them are test images, the clean ones included; of the other tiles every
    tenth is for validation, the rest for training. Defects whose mask has no value above 127 (four of ``Uneven`` in the
    published set) say nothing about pixels and are left out.

    Args:
        root: the folder of the kinds.
        resolution: pixels of the square that images are resized to, aspect not kept.
        channels: 1 (grey) or 3 (RGB).
        category: what to call the set.
        images_per_kind: test on so many images of each kind of defect, and twice as many clean ones, spread evenly over
            the numbers; None takes all.
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
    ) -> None:
        super().__init__(category, resolution, channels)
        self.root, self.images_per_kind = root, images_per_kind

    def training_files(self) -> list[Path]:
        """The photographs of tiles without any defect, by number."""
        return [path for tile in self._tiles(defective=False) for path in tile]

    def split(self, files: list[Path]) -> tuple[list[Path], list[Path]]:
        """Every tenth tile is for validation."""
        kept: tuple[list[Path], list[Path]] = ([], [])
        for position, tile in enumerate(self._tiles(defective=False), start=1):
            kept[position % HOLD_OUT_INTERVAL == 0].extend(tile)
        return kept

    def samples(self) -> list[Sample]:
        """The photographs of tiles with a defect, as ``<kind>/<stem>`` (clean ones ``good/<stem>``), sorted."""
        kinds: dict[str, list[Sample]] = {}
        for path in (path for tile in self._tiles(defective=True) for path in tile):
            kind, mask = _kind(path), path.with_suffix(".png")
            if not mask.is_file():
                raise InputError(f"{path}: has no mask; copy {mask.name} into its folder, too")
            if kind == CLEAN:
                kinds.setdefault("good", []).append(Sample(f"good/{path.stem}", path, good=True))
            elif _marks_something(mask):
                kinds.setdefault(kind, []).append(Sample(f"{kind.lower()}/{path.stem}", path, mask))
        chosen = [sample for kind, found in kinds.items() for sample in self._some(kind, found)]
        return sorted(chosen, key=lambda sample: sample.name)

    def _some(self, kind: str, found: list[Sample]) -> list[Sample]:
        if self.images_per_kind is None:
            return found
        wanted = self.images_per_kind * (2 if kind == "good" else 1)
        count = min(wanted, len(found))
        return [found[i * len(found) // count] for i in range(count)]

    def _tiles(self, defective: bool) -> list[list[Path]]:
        """The photographs of each tile, tiles and photographs by number; of those with or without a defect."""
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise InputError(f"dataset.root={self.root}: no such folder; download the magnetic tiles from {PAGE}")
        photographs = []
        for kind in (CLEAN, *DEFECTS):
            folder = root / f"MT_{kind}" / "Imgs"
            found = sorted(folder.glob("*.jpg"))
            if not found:
                raise InputError(f"{folder}: no such folder, or no .jpg in it; extract the whole archive from {PAGE}")
            photographs += [(_number(path), path) for path in found]
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
    found = re.fullmatch(r"exp\d+_num_(\d+)", path.stem)
    if not found:
        raise InputError(f"{path}: is not named exp<E>_num_<N>.jpg as the set's photographs are; remove it")
    return int(found[1])


def _marks_something(mask: Path) -> bool:
    """Whether a mask has a value that counts; one that is no picture passes, for `check_mask` to say so."""
    try:
        with Image.open(mask) as file:
            return bool(np.asarray(file.convert("L")).max() > 127)
    except (OSError, SyntaxError, ValueError):
        return True
