"""A user's own pictures of any size: which they are, and how they are cut into tiles of a generator's size."""

import glob
import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from rgi.data.images import open_image, scale_pixels, upright_size
from rgi.data.listing import SUFFIXES, expanded, named_by_stem, walk
from rgi.data.region import check_region_size, resized_region
from rgi.data.tiles import Tiling
from rgi.errors import InputError

VIDEOS = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
FITS = ("tiles", "whole", "squash")  # see `Fit`


def find_pictures(source: str) -> tuple[dict[str, Path], Path]:
    """Pictures by name, and the folder that their names begin at.

    Args:
        source: a file, a folder with or without subfolders, or a pattern such as ``photos/**/*.png``.

    Raises:
        InputError: there is no picture, a file is a video, or `rgi.data.listing.images_by_stem` would raise an error.
    """
    label, path = f"input={source}", expanded(source)
    if path.is_dir():
        base, files = path, list(walk(path))
    elif path.is_file():
        base, files = path.parent, [path]
    elif glob.has_magic(str(path)):
        base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
        found = (Path(each) for each in glob.glob(str(path), recursive=True))
        files = sorted(each for each in found if each.is_file() and not each.name.startswith("."))
    else:
        raise InputError(f"{label}: no such file or folder; correct the path")
    if not any(file.suffix.lower() in SUFFIXES for file in files):
        raise InputError(f"{label}: {_complaint(files)}")
    return named_by_stem(files, base, label), base


def _complaint(files: list[Path]) -> str:
    """Why none of the files is a picture, with the remedy."""
    video = next((file for file in files if file.suffix.lower() in VIDEOS), None)
    if video is not None:
        command = f"mkdir frames && ffmpeg -i {shlex.quote(str(video))} frames/%06d.png"
        return f"{video.name} is a video; extract its frames with `{command}`, and add input=frames"
    return f"no picture matches ({', '.join(SUFFIXES)}); name a file, a folder, or a pattern such as 'photos/**/*.png'"


@dataclass(frozen=True)
class Fit:
    """How a picture is brought to the size of a generator.

    Attributes:
        kind: ``tiles``: at the scale of the training patches, by overlapping tiles; ``whole``: the shorter side has the
            generator's size, and tiles cover the longer side; ``squash``: both sides have the generator's size, as in a
            training with ``dataset=folder``.
        channels: number of channels of the generator.
        side: height and width of its images in pixels.
        patch: side in pixels of the square of a picture that a tile shows, for ``tiles``.
        roi: mask file of the pixels that count, white = counts, in the size of the pictures; None for all.
    """

    kind: str
    channels: int
    side: int
    patch: int
    roi: Path | None = None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to which a picture is resized before it is cut into tiles."""
        if self.kind == "squash":
            return self.side, self.side
        scale = self.side / (self.patch if self.kind == "tiles" else min(width, height))
        return round(width * scale), round(height * scale)

    def describe(self) -> str:
        """What is done, in words."""
        square = f"{self.side}x{self.side}"
        if self.kind == "squash":
            return f"each picture is resized to {square} pixels, whatever its aspect"
        if self.kind == "whole":
            return f"the shorter side of each picture is resized to {self.side} pixels; tiles cover the longer side"
        scale = "" if self.patch == self.side else f", each from {self.patch}x{self.patch} pixels of the picture"
        return f"each picture is cut into overlapping tiles of {square} pixels{scale}"


class Picture:
    """A picture and its tiles.

    Attributes:
        name: name of the picture.
        pixels: the whole picture, uint8 (C,H,W).
        tiling: places of its tiles in the resized picture.
        counted: region of the resized picture that counts, (h,w) of bool; None for all.

    Args:
        name: name of the picture.
        path: image file.
        fit: how the picture is brought to the size of the generator.

    Raises:
        InputError: the file is no valid image (see `rgi.data.images.check_image`), is smaller than a tile, or has not
            the size of the region.
    """

    def __init__(self, name: str, path: Path, fit: Fit) -> None:
        image = open_image(path).convert("L" if fit.channels == 1 else "RGB")
        width, height = fit.size(*image.size)
        if min(width, height) < fit.side:
            raise InputError(
                f"{path}: has {image.width}x{image.height} pixels, and a tile shows {fit.patch}x{fit.patch}; use a "
                "larger picture, or add fit=whole to enlarge it"
            )
        self.counted = None
        if fit.roi is not None:
            self.counted, size = resized_region(fit.roi, width, height)
            check_region_size(fit.roi, size, path, image.size)
        self.name, self.pixels = name, _array(image)
        self.tiling = Tiling(height, width, fit.side)
        self._resized = torch.from_numpy(_array(image.resize((width, height), Image.Resampling.BICUBIC)))

    def tile(self, index: int) -> Tensor:
        """A tile (C,side,side) in [-1, 1]."""
        return scale_pixels(self._resized[:, *self.tiling.place(index)])


def _array(image: Image.Image) -> np.ndarray:
    """Pixels uint8 (C,H,W) of a grey or RGB image."""
    pixels = np.array(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def tile_count(path: Path, fit: Fit) -> int:
    """Number of tiles of a picture, from the head of its file; 0 if the file cannot be read or is too small."""
    try:
        with Image.open(path) as image:
            width, height = fit.size(*image.size)
            return len(Tiling(height, width, fit.side))
    except Exception:  # `Picture` tells the reason
        return 0


def is_square(path: Path) -> bool:
    """Whether a picture is square, from the head of its file; also True if the file cannot be read."""
    try:
        with Image.open(path) as image:
            return image.width == image.height
    except Exception:  # `Picture` tells the reason
        return True


@dataclass
class TileBatch:
    """Tiles of one or several pictures.

    Attributes:
        tiles: tiles (B,C,side,side) in [-1, 1].
        places: picture of each tile, and number of the tile there.
    """

    tiles: Tensor
    places: list[tuple[Picture, int]]

    def to(self, *args: object, **kwargs: object) -> "TileBatch":
        """A copy with the tiles moved; the arguments are those of `torch.Tensor.to`."""
        return TileBatch(self.tiles.to(*args, **kwargs), self.places)


class TileStream:
    """Batches with the tiles of all pictures; a batch may hold tiles of several, and few pictures are in memory.

    Args:
        files: pictures by name.
        fit: how a picture is brought to the size of the generator.
        batch_size: number of tiles in a batch.
        refuse: function that is called with name and error message of a picture that cannot be used.
    """

    def __init__(
        self, files: Mapping[str, Path], fit: Fit, batch_size: int, refuse: Callable[[str, str], object]
    ) -> None:
        self.files, self.fit, self.batch_size, self.refuse = files, fit, batch_size, refuse

    def __iter__(self) -> Iterator[TileBatch]:
        waiting: list[tuple[Picture, int]] = []
        for name, path in self.files.items():
            try:
                picture = Picture(name, path, self.fit)
            except (InputError, OSError) as error:
                self.refuse(name, str(error))
                continue
            for index in range(len(picture.tiling)):
                waiting.append((picture, index))
                if len(waiting) == self.batch_size:
                    yield _batch(waiting)
                    waiting = []
        if waiting:
            yield _batch(waiting)


def _batch(places: list[tuple[Picture, int]]) -> TileBatch:
    return TileBatch(torch.stack([picture.tile(index) for picture, index in places]), places)


class CleanTiles(Dataset[Tensor]):
    """The tiles (C,side,side) of clean pictures, one picture after another; the newest picture stays in memory.

    With a region, these are the tiles of which at least half counts; if there are none, all tiles.

    Args:
        files: pictures.
        fit: how a picture is brought to the size of the generator.
    """

    def __init__(self, files: list[Path], fit: Fit) -> None:
        self.fit, self.newest = fit, (-1, None)
        self.files = files
        self.numbers = [_counted_tiles(path, fit) for path in files]
        self.ends = np.cumsum([len(numbers) for numbers in self.numbers])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> Tensor:
        number = int(np.searchsorted(self.ends, index, side="right"))
        if self.newest[0] != number:
            self.newest = number, Picture("", self.files[number], self.fit)
        start = self.ends[number - 1] if number else 0
        return self.newest[1].tile(self.numbers[number][int(index - start)])


def _counted_tiles(path: Path, fit: Fit) -> Sequence[int]:
    """Numbers of the tiles of a picture of which at least half counts; of all tiles if there are none."""
    every = range(tile_count(path, fit))
    if fit.roi is None or not every:
        return every
    width, height = fit.size(*upright_size(path))
    tiling, region = Tiling(height, width, fit.side), resized_region(fit.roi, width, height)[0].float()
    return [number for number in every if region[tiling.place(number)].mean() >= 0.5] or every
