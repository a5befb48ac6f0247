"""What works with a stranger's own images stays so: odd paths, equal names, only clean or only defective images."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import in_process
from helpers.tiny_sets import write_generator
from PIL import Image

from rgi.evaluation.results import load_result

PLACE = "my (1) data, 100%41 a:b $HOME ü"
NAMES = ("one/a", "two/a", "a", "b:c %d $e")


def write(home: Path, defective: tuple[str, ...]) -> None:
    """Images, and masks of which only these are not black; nobody may write to them."""
    for number, name in enumerate(NAMES):
        image, mask = home / "root" / f"{name}.png", home / "masks" / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40), np.uint8)
        Image.fromarray(pixels).save(image)
        marks = np.zeros((40, 40), np.uint8)
        marks[:10] = 255 if name in defective else 0
        Image.fromarray(marks).save(mask)
    for path in home.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files below a folder."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def run(home: Path, output: str, monkeypatch) -> Path:
    """Invert the images at an odd path; nothing is written beside them. Returns the folder of the run."""
    before = state(home / "data")
    paths = {"dataset.root": "data/root", "dataset.masks": "data/masks", "generator.path": "gan.safetensors"}
    command = [f"{name}='{home / path}'" for name, path in (paths | {"output_dir": output}).items()]
    command += ["dataset.resolution=32", "dataset.channels=1", "solver.iterations=3", "solver.pool_size=8"]
    assert in_process(monkeypatch, "experiment=folder_rgi", "trainer.accelerator=cpu", *command) == 0
    assert state(home / "data") == before
    return home / output


@pytest.mark.parametrize("defective", [(), NAMES, NAMES[:2]], ids=["none", "all", "some"])
def test_any_share_of_the_images_may_be_defective(defective, tmp_path, monkeypatch):
    home = tmp_path / PLACE
    write(home / "data", defective)
    write_generator(home / "gan.safetensors", resolution=32)
    folder = run(home, "run", monkeypatch)
    table = pd.read_csv(folder / "per_image.csv").set_index("name")
    assert table["defective"].to_dict() == {name: name in defective for name in sorted(NAMES)}
    scores = json.loads((folder / "metrics.json").read_text())["rgi"]
    assert scores["images"] == len(NAMES)
    assert (scores["standard/pixel_auroc"] is not None) == bool(defective)
    assert (scores["standard/image_auroc"] is not None) == (0 < len(defective) < len(NAMES))


def test_the_same_seed_gives_the_same_bits(tmp_path, monkeypatch):
    home = tmp_path / PLACE
    write(home / "data", NAMES[:2])
    write_generator(home / "gan.safetensors", resolution=32)
    folders = [run(home, output, monkeypatch) for output in ("first", "second")]
    tables = [pd.read_csv(folder / "per_image.csv").drop(columns="seconds") for folder in folders]
    pd.testing.assert_frame_equal(*tables)
    for name in NAMES:
        first, second = (load_result(folder / "results/rgi", name) for folder in folders)
        assert first.keys() == second.keys()
        assert all(first[key].tobytes() == second[key].tobytes() for key in first if key != "seconds")
