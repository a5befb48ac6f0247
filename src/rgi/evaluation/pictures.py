"""Inversion of pictures of any size: the module solves batches of tiles, and blends the results of each picture."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.nn.functional import interpolate
from tqdm import tqdm

from rgi.data.batch import Batch
from rgi.data.images import parallel_map
from rgi.data.pictures import Fit, Picture, TileBatch, TileStream, tile_count
from rgi.evaluation.modules import InversionModule
from rgi.pixels import luminance


@dataclass(frozen=True)
class Solved:
    """The result of a picture, at the scale at which it was solved.

    Attributes:
        picture: the picture.
        restored: restored picture (C,h,w).
        mask: estimated mask (h,w).
        map: anomaly map (h,w); 0 where nothing counts.
        seconds: time of its tiles.
    """

    picture: Picture
    restored: Tensor
    mask: Tensor
    map: Tensor
    seconds: float

    @property
    def score(self) -> float:
        """Score of the picture: the highest value of its map."""
        return self.map.max().item()

    def original_size(self) -> tuple[Tensor, Tensor, Tensor]:
        """Restored picture (C,H,W), mask (H,W) and map (H,W) in the size of the picture."""
        size = self.picture.pixels.shape[1:]
        values = torch.cat([self.restored, self.mask[None], self.map[None]])
        if values.shape[1:] != size:
            values = interpolate(values[None], size, mode="bilinear", antialias=True)[0]
        return values[:-2], values[-2], values[-1]


class PictureModule(InversionModule):
    """An inversion of pictures, see `InversionModule`.

    Attributes:
        finish: function that is called with each solved picture, see `solve_pictures`.

    Args:
        options: arguments of `InversionModule` except ``results``: there are no files of results.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, results=Path())
        self.finish: Callable[[Solved], object] = lambda solved: None
        self.unfinished: dict[Picture, _Canvas] = {}

    def on_predict_start(self) -> None:
        """Nothing to prepare: `solve_pictures` makes the progress bar."""

    def on_predict_end(self) -> None:
        """Nothing to report: the caller records the pictures that failed."""

    def predict_step(self, batch: TileBatch, index: int) -> list[str]:
        """Solve tiles, and finish the pictures whose last tile is among them; returns the names of the tiles' pictures.

        Lightning warns if a step returns nothing.
        """
        started = time.perf_counter()
        names = [picture.name for picture, _ in batch.places]
        solved = self.solve(Batch(batch.tiles, None, None, names, [""] * len(names)))
        parts = solved["restored"], luminance(solved["mask"])[:, None], solved["map"][:, None]
        values = torch.cat(parts, 1).float().cpu()
        seconds = (time.perf_counter() - started) / len(names)
        for (picture, number), tile in zip(batch.places, values, strict=True):
            canvas = self.unfinished.setdefault(picture, _Canvas(picture))
            canvas.add(number, tile, seconds)
            if not canvas.missing:
                del self.unfinished[picture]
                *restored, mask, heat = canvas.values
                heat = heat if picture.counted is None else heat * picture.counted
                self.finish(Solved(picture, torch.stack(restored), mask, heat, canvas.seconds))
        return names


class _Canvas:
    """Restored picture, mask and map of a picture whose tiles arrive one by one."""

    def __init__(self, picture: Picture) -> None:
        self.tiling, self.missing, self.seconds = picture.tiling, len(picture.tiling), 0.0
        self.values = torch.zeros(len(picture.pixels) + 2, picture.tiling.height, picture.tiling.width)

    def add(self, number: int, tile: Tensor, seconds: float) -> None:
        self.values[:, *self.tiling.place(number)] += tile * self.tiling.weight(number)
        self.missing -= 1
        self.seconds += seconds


class PictureData(LightningDataModule):
    """Tiles of pictures; process r of w takes the pictures r, r+w, r+2w, ...

    Args:
        files: pictures by name.
        fit: how a picture is brought to the size of the generator.
        batch_size: number of tiles in a batch.
        refuse: function that is called with name and error message of a picture that cannot be used.
    """

    def __init__(
        self, files: Mapping[str, Path], fit: Fit, batch_size: int, refuse: Callable[[str, str], object]
    ) -> None:
        super().__init__()
        self.files, self.fit, self.batch_size, self.refuse = files, fit, batch_size, refuse

    def predict_dataloader(self) -> TileStream:
        """The pictures of this process."""
        names = list(self.files)[self.trainer.global_rank :: self.trainer.world_size]
        return TileStream({name: self.files[name] for name in names}, self.fit, self.batch_size, self.refuse)


def solve_pictures(
    module: PictureModule, trainer: Trainer, data: PictureData, finish: Callable[[Solved], object]
) -> None:
    """Solve pictures with a progress bar.

    Args:
        module: module that solves the pictures.
        trainer: trainer that runs the module.
        data: the pictures.
        finish: function that is called with each solved picture.
    """
    module.finish = finish
    if data.files:
        files = list(data.files.values())
        counts = parallel_map(lambda path: tile_count(path, data.fit), files, "measuring pictures")
        total = sum(counts) * module.steps // trainer.world_size
        disable = trainer.global_rank != 0 or not total
        module.bar = tqdm(total=total, desc=module.method, unit="step", mininterval=1, disable=disable)
        try:
            trainer.predict(module, datamodule=data, return_predictions=False)
        finally:
            module.bar.close()  # so that an error message is printed below the bar
    trainer.strategy.barrier()
