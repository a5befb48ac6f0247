"""Patches and a region of interest from the command line: one training, and runs with its generator."""

import json

import numpy as np
import pandas as pd
from helpers.command_line import in_process
from helpers.two_processes import use_few_octaves
from PIL import Image

from rgi.data import files
from rgi.evaluation.results import load_result
from rgi.generators.store import read_card

SIZE = (44, 30)  # width and height of a picture


def write(folder, count, mark=False):
    """Pictures of one texture; a marked one has a white spot at the left."""
    folder.mkdir()
    for number in range(count):
        rng = np.random.default_rng(number)
        pixels = (100 + 20 * np.sin(np.arange(SIZE[0]) / 3)[None] + rng.normal(0, 5, SIZE[::-1])).clip(0, 255)
        if mark and number == 0:
            pixels[10:16, 5:11] = 255
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02d}.png")


def test_a_generator_of_patches_inspects_whole_pictures(tmp_path, monkeypatch, capsys):
    use_few_octaves(monkeypatch.setattr)
    monkeypatch.setattr(files, "PATCHES", 60)
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "clean", 20)
    write(tmp_path / "test", 3, mark=True)
    for name in ("masks", "regions"):
        (tmp_path / name).mkdir()
    for number in range(3):
        mask = np.zeros(SIZE[::-1], np.uint8)
        if number == 0:
            mask[10:16, 5:11] = 255
        Image.fromarray(mask).save(tmp_path / f"masks/{number:02d}.png")
    region = np.full(SIZE[::-1], 255, np.uint8)
    region[:, :16] = 0
    Image.fromarray(region).save(tmp_path / "roi.png")
    common = ["dataset.channels=1", "dataset.train=clean", "trainer.accelerator=cpu", "trainer.devices=1"]
    patches = [*common, "dataset.patch=16"]
    training = ["experiment=folder_pretrain", "generator=pca", "generator.latent_dim=4", "trainer.precision=32"]
    assert in_process(monkeypatch, *training, *patches, "judge.images=4", "judge.samples=16") == 0
    file = tmp_path / f"data/generators/local/folder-{tmp_path.name}-clean-patches-16-pca.safetensors"
    assert read_card(file).patch == 16

    gan = ["experiment=folder_rgi", f"generator.path={file}", "generator.family=pca", "map.kind=normalised"]
    run = [*gan, "dataset.root=test", "dataset.masks=masks", "solver.iterations=3", "solver.pool_size=8"]
    assert in_process(monkeypatch, *run, *patches, "output_dir=run") == 0
    scores = json.loads((tmp_path / "run/metrics.json").read_text())["rgi"]
    assert scores["images"] == 3
    assert scores["standard/image_auroc"] == 1
    result = load_result(tmp_path / "run/results/rgi", "00")
    assert result["restored"].shape == (1, *SIZE[::-1])
    assert result["map"].shape == SIZE[::-1]
    assert np.unravel_index(result["map"].argmax(), SIZE[::-1])[1] in range(3, 13)

    assert in_process(monkeypatch, *run, *patches, "dataset.roi=roi.png", "output_dir=part", "task=predict") == 0
    result = load_result(tmp_path / "part/results/rgi", "00")
    assert not result["map"][:, :16].any()
    assert result["score"] == result["map"].max() > 0
    table = pd.read_csv(tmp_path / "part/per_image.csv")
    assert not table["defective"].any()

    capsys.readouterr()
    assert in_process(monkeypatch, *run, *common, "dataset.resolution=16") == 1
    assert "was trained on patches of 16 pixels, but the images here are whole pictures" in capsys.readouterr().err
    assert in_process(monkeypatch, *gan, *patches) == 1
    assert "dataset.root: not given" in capsys.readouterr().err
