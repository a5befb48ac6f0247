"""Pictures that are larger than a generator's images: no seams, and results in the size of the picture."""

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from helpers.tiny_gan import tiny_gan
from PIL import Image
from pytorch_lightning import Trainer

from rgi import SolverConfig, invert, load_gan
from rgi.data.pictures import Fit, Picture
from rgi.data.tiles import Tiling
from rgi.evaluation.pictures import PictureData, PictureModule, Solved, solve_pictures

QUICK = SolverConfig(iterations=8, trial_steps=4, starts=2, pool_size=64)


def solve(gan, files: dict[str, Path], fit: Fit, batch_size: int = 32) -> dict[str, Solved]:
    """The solved pictures by name."""
    module = PictureModule(
        gan=gan, config=QUICK, method="pictures", map_kind="residual", features="critic", sigma=1, seed=0
    )
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, inference_mode=False, enable_model_summary=False
    )
    found = {}
    data = PictureData(files, fit, batch_size, pytest.fail)
    solve_pictures(module, trainer, data, lambda solved: found.setdefault(solved.picture.name, solved))
    return found


def excess(image: torch.Tensor, seams: list[int]) -> float:
    """How much neighbouring columns differ at seams, in standard deviations above the mean of the other columns."""
    steps = image.diff(dim=-1).abs().flatten(0, -2).mean(0).numpy()
    others = np.delete(steps, seams)
    return (steps[seams].mean() - others.mean()) / others.std()


def test_a_picture_twice_the_size_has_no_seam(tmp_path):
    """Where tiles begin and end, neighbouring pixels differ no more than elsewhere; tiles without blending do."""
    gravel = Image.open(Path(skimage.__file__).parent / "data/gravel.png").convert("L")
    path = tmp_path / "gravel.png"
    gravel.crop((128, 128, 384, 384)).save(path)
    gan, fit = load_gan("textures-gravel-64"), Fit("tiles", 1, 64, 128)
    solved = solve(gan, {"gravel": path}, fit)["gravel"]
    tiling, picture = solved.picture.tiling, solved.picture
    assert (tiling.width, tiling.height, len(tiling)) == (128, 128, 9)
    tiles = torch.stack([picture.tile(index) for index in range(9)])
    restored = invert(gan, tiles, QUICK).restored
    torch.testing.assert_close(solved.restored, tiling.blend(restored))
    pasted = torch.zeros_like(solved.restored)
    for index, tile in enumerate(restored):
        pasted[:, *tiling.place(index)] = tile
    begins = [left - 1 for left in tiling.columns[1:]]
    ends = [left + 63 for left in tiling.columns[:-1]]
    assert excess(pasted, begins) > 2
    for image in (solved.restored, solved.map[None]):
        assert excess(image, begins + ends) < 1
        rows = [top - 1 for top in tiling.rows[1:]] + [top + 63 for top in tiling.rows[:-1]]
        assert excess(image.mT, rows) < 1


def test_results_have_the_size_of_the_picture_and_do_not_depend_on_the_batch(tmp_path):
    files = {}
    for name, size in {"wide": (90, 40), "small": (24, 20), "tile": (32, 32)}.items():
        files[name] = tmp_path / f"{name}.png"
        pixels = np.random.default_rng(len(name)).integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(files[name])
    gan, fit = tiny_gan(channels=3), Fit("whole", 3, 32, 32)
    first, second = (solve(gan, files, fit, batch_size) for batch_size in (32, 2))
    assert first.keys() == second.keys() == files.keys()
    for name, solved in first.items():
        restored, mask, heat = solved.original_size()
        height, width = Picture(name, files[name], fit).pixels.shape[1:]
        assert (restored.shape, mask.shape, heat.shape) == ((3, height, width), (height, width), (height, width))
        assert solved.score == solved.map.max()
        torch.testing.assert_close(second[name].map, solved.map)
        torch.testing.assert_close(second[name].restored, solved.restored)
    assert first["wide"].map.shape == (Tiling(32, 72, 32).height, 72)
