"""Magnetic tile defects: grey photographs of tiles, several per tile, with a mask for each photograph.

Huang, Qiu, Guo, Wang, Yuan, "Surface defect saliency of magnetic tile", The Visual Computer 36 (2020).
"""

import logging
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from rgi.data.files import HOLD_OUT_INTERVAL, Channels, FileSet, Resolution
from rgi.data.images import FORMATS
from rgi.data.listing import Sample, expanded, named_split
from rgi.errors import InputError
from rgi.validation import Count, Name, Text, checked

log = logging.getLogger(__name__)
PAGE = "https://github.com/abin24/Magnetic-tile-defect-datasets."
DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
CLEAN = "Free"
PUBLISHED = Path(__file__).with_name("magnetic_tile_published.txt")  # names of clean photographs, from DifferNet's list
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
        category: name of the category in tables and file names; with a published split, the split is added to it.
        split: "published" for the split by photograph that PatchCore and others use: the photographs listed in
             `PUBLISHED` are for training, and all others are test images. Tiles appear on both sides, see `note`.
             Every tenth tile of the training photographs is for validation. None for the split by tile.
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
        split: Literal["published"] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(named_split(category, split), resolution, channels, **shared)
        self.root, self.images_per_kind, self.published = root, images_per_kind, split

    @property
    def note(self) -> str:
        """`FileSet.note`; with the published split also how many test photographs show a tile of a training."""
        if self.published is None:
            return super().note
        training = set(self.training_files())
        seen = {path for tile in self._tiles() if not training.isdisjoint(tile) for path in tile}
        tests = self.samples()
        counts = (
            f"{sum(each.image in seen for each in part)} of {len(part)} {label}"
            for label in ("clean", "defective")
            if (part := [each for each in tests if each.good == (label == "clean")])
        )
        split = (
            f"dataset.split=published is by photograph: {' and '.join(counts)} test photographs show a tile that "
            "listed training photographs show, too; never compare scores with those of another split"
        )
        return "; ".join(part for part in (split, super().note) if part)

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """Check images and masks, see `FileSet.prepare`, and log `note`."""
        super().prepare(training, tests)
        if note := self.note:
            log.warning(note)

    def training_files(self) -> list[Path]:
        """The training photographs and those for validation, sorted by number."""
        return [path for tile in self._training_tiles() for path in tile]

    def split(self, files: list[Path]) -> tuple[list[Path], list[Path]]:
        """Split the photographs by tile; every tenth tile is for validation."""
        kept: tuple[list[Path], list[Path]] = ([], [])
        for position, tile in enumerate(self._training_tiles(), start=1):
            kept[position % HOLD_OUT_INTERVAL == 0].extend(tile)
        return kept

    def samples(self) -> list[Sample]:
        """All other photographs, sorted by name: ``<kind>/<stem>``, or ``good/<stem>`` if clean."""
        kinds: dict[str, list[Sample]] = {}
        training = set(self.training_files())
        for path in (path for tile in self._tiles() for path in tile if path not in training):
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

    def _training_tiles(self) -> list[list[Path]]:
        """The photographs of each tile that are for training or validation."""
        tiles = self._tiles()
        if self.published is None:
            return [tile for tile in tiles if all(_kind(path) == CLEAN for path in tile)]
        clean = {path.stem for tile in tiles for path in tile if _kind(path) == CLEAN}
        listed = set(PUBLISHED.read_text().split())
        if missing := sorted(listed - clean):
            raise InputError(
                f"dataset.split=published: {len(missing)} of {len(listed)} listed photographs are not in "
                f"{self.root}/MT_{CLEAN}/Imgs, such as {missing[0]}.jpg; extract the whole archive from {PAGE}, or set "
                "dataset.split=null"
            )
        chosen = ([path for path in tile if _kind(path) == CLEAN and path.stem in listed] for tile in tiles)
        return [tile for tile in chosen if tile]

    def _tiles(self) -> list[list[Path]]:
        """The photographs of each tile, sorted by number."""
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
        return tiles


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
