"""One's own pictures: any size and folder, a table that grows, calibration and verdicts, bad pictures and options."""

import copy
import csv
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composed import composed
from helpers.tiny_sets import write_generator
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from rgi.app import arguments
from rgi.app.main import run_task
from rgi.app.pictures import calibrate
from rgi.app.pictures.predictions import COLUMNS
from rgi.errors import InputError
from rgi.evaluation import clean_images
from rgi.evaluation.clean_residuals import CleanResiduals
from rgi.generators.store import load_gan, write_card

QUICK = ["solver.iterations=2", "solver.tune_from=1", "solver.pool_size=4", "solver.starts=2", "solver.trial_steps=1"]
COMMAND = ["experiment=folder_rrgi", "trainer.accelerator=cpu", "debug=true", *QUICK]  # debug: errors are raised
SIZES = {"a": (40, 32), "sub/b": (32, 64), "sub/deep/c": (70, 33)}


@pytest.fixture(scope="module")
def tasks() -> dict[str, DictConfig]:
    """The configurations of both tasks; to compose them takes longer than to run them."""
    return {
        task: composed(*COMMAND, f"task={task}", "generator.path=gan.safetensors") for task in ("predict", "calibrate")
    }


@pytest.fixture(autouse=True)
def run(tasks, tmp_path, monkeypatch, caplog) -> Callable[..., None]:
    """A function that runs a task, in a working directory with a generator of 32 grey pixels and with photos."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    monkeypatch.setattr(calibrate, "CALIBRATION_IMAGES", 2)
    monkeypatch.setattr(clean_images, "STATISTICS_IMAGES", 2)
    write_generator(tmp_path / "gan.safetensors", resolution=32)
    for seed, (name, size) in enumerate(SIZES.items()):
        write(f"photos/{name}.jpg", size, seed)

    def task(name: str, source: str, **options: Any) -> None:
        cfg = copy.deepcopy(tasks[name])
        for option, value in {"input": source, "output_dir": "run", **options}.items():
            OmegaConf.update(cfg, option, value, force_add=True)
        run_task(cfg)

    return task


def write(path: str, size: tuple[int, int] = (32, 32), seed: int = 0, bright: bool = False) -> None:
    """A picture of faint noise, or of strong noise if it is ``bright``."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    low, high = (0, 256) if bright else (120, 136)
    pixels = np.random.default_rng(seed).integers(low, high, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path, quality=95)


def rows() -> dict[str, dict[str, str]]:
    """The rows of the table by name; no name is there twice."""
    with Path("run/predictions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len({row["name"] for row in table}) == len(table)
    return {row["name"]: row for row in table}


def files() -> dict[str, int]:
    """Time of each picture of the run."""
    return {str(path.relative_to("run")): path.stat().st_mtime_ns for path in Path("run").rglob("*.png")}


def test_a_folder_of_any_sizes_comes_back_and_only_new_pictures_are_solved_again(run, caplog, capsys):
    run("predict", "photos", fit="tiles")
    table, before = rows(), files()
    assert set(before) == {f"{folder}/{name}.png" for folder in ("restored", "mask", "overlay") for name in SIZES}
    for name, size in SIZES.items():
        for folder, mode in (("restored", "L"), ("mask", "L"), ("overlay", "RGB")):
            with Image.open(f"run/{folder}/{name}.png") as picture:
                assert (picture.size, picture.mode) == (size, mode)
        assert table[name]["size"] == f"{size[0]}x{size[1]}"
        assert float(table[name]["score"]) > 0
        assert table[name]["verdict"] == table[name]["error"] == ""
    assert [table[name]["tiles"] for name in SIZES] == ["2", "3", "6"]
    assert "no calibration, so there are scores and no verdicts; calibrate with: rgi task=calibrate" in caplog.text
    assert capsys.readouterr().out == "3 pictures\nrun/predictions.csv\n"

    text = Path("run/predictions.csv").read_text()
    cut = text.rindex("\n", 0, -1) + 9  # as a process leaves it that is killed while it writes the last row
    Path("run/predictions.csv").write_text(text[:cut])
    last = text[:-1].rpartition("\n")[2].partition(",")[0]
    write("photos/new.png")
    Path("photos/bad.png").write_text("no picture")
    write("photos/small.png", (20, 40))
    with pytest.raises(InputError, match=r"2 of 6 pictures could not be used; run/predictions\.csv has the reasons"):
        run("predict", "photos", fit="tiles")
    assert "error: photos/bad.png: is not recognised as an image (" in capsys.readouterr().err
    kept = {file: time for file, time in before.items() if not file.endswith(f"/{last}.png")}
    assert kept.items() <= files().items()
    assert not before.items() <= files().items()
    assert len(files()) == 12
    plain = {name: row | {"seconds": ""} for name, row in rows().items() if not row["error"]}
    assert plain == {name: row | {"seconds": ""} for name, row in (table | {"new": rows()["new"]}).items()}
    assert "has 20x40 pixels, and a tile shows 32x32" in rows()["small"]["error"]

    Path("photos/bad.png").unlink()
    write("photos/small.png")
    os.utime("photos/new.png", (1, 1))
    between = files()
    run("predict", "photos", fit="tiles")
    changed = {file.partition("/")[2] for file, time in files().items() if between.get(file) != time}
    assert changed == {"new.png", "small.png"}
    assert set(rows()) == {*SIZES, "new", "small"}
    assert list(rows()["a"]) == list(COLUMNS)


@pytest.mark.parametrize(("dataset", "note"), [("folder", "it is squashed"), ("celeba", "its aspect is kept")])
def test_pictures_without_patches_are_fitted_as_in_the_training(dataset, note, run, caplog):
    gan = load_gan("gan.safetensors")
    write_card(dataclasses.replace(gan.card, dataset=dataset), Path("gan.safetensors"))
    run("predict", "photos/sub")
    assert [rows()[name]["tiles"] for name in ("b", "deep/c")] == (["1", "1"] if dataset == "folder" else ["3", "3"])
    assert f"photos/sub/b.jpg: is not square, and perhaps others: {note}" in caplog.text


def test_clean_pictures_give_a_threshold_and_pictures_get_verdicts(run, caplog, capsys):
    for seed in range(10):
        write(f"clean/{seed}.png", (40, 32), seed)
    write("photos/defective.png", bright=True)
    method = {"map.features": "critic", "fit": "tiles", "output_dir": "first", "false_positive_rate": 0.1}
    run("calibrate", "clean", **method)
    assert "false_positive_rate=0.1: 5 clean pictures cannot show a rate below 0.17" in caplog.text
    assert capsys.readouterr().out.splitlines()[-1] == "gan.calibration.safetensors"

    run("predict", "photos")
    assert "from 5 clean pictures: about 17 % of clean pictures lie above" in caplog.text
    assert OmegaConf.load("run/config.yaml").map.kind == "combined"
    assert rows()["defective"]["verdict"] == "defective"
    before, limit = files(), max(float(row["score"]) for row in rows().values())
    run("predict", "photos", threshold=limit)
    assert {row["verdict"] for row in rows().values()} == {"good"}  # none lies above the highest
    assert files() == before

    results = {path: path.stat().st_mtime_ns for path in Path("first").rglob("*.npz")}
    assert len(results) == 2 + 8 + 5  # tiles of the statistics, painted tiles, pictures of the threshold
    run("calibrate", "clean", **method)
    assert {path: path.stat().st_mtime_ns for path in Path("first").rglob("*.npz")} == results

    for option, value, known in (("fit", "squash", "tiles"), ("map.sigma", 2, 1), ("solver.iterations", 3, 2)):
        message = f"{option}={value}: the calibration gan.calibration.safetensors has {option}={known}; calibrate with"
        with pytest.raises(InputError, match=message):
            run("predict", "photos", **{option: value})
    write_generator(Path("gan.safetensors"), resolution=32, channels=3)
    with pytest.raises(InputError, match=r"gan\.calibration\.safetensors: is a calibration of another generator"):
        run("predict", "photos")


def test_scale_and_prior_are_kept_with_the_calibration(run, monkeypatch):
    levels = dict.fromkeys(("0.5", "0.9", "0.95", "0.99", "0.995", "0.999"), 0.2)
    measured = CleanResiduals(levels, [[0.5, 1.5]], defect_prior=4.0)
    monkeypatch.setattr("rgi.app.pictures.calibrate.clean_residuals", lambda *_: measured)
    for seed in range(10):
        write(f"clean/{seed}.png", (40, 32), seed)
    run("calibrate", "clean", **{"map.kind": "residual", "fit": "tiles", "output_dir": "first"})
    run("predict", "photos")
    (found,) = json.loads(Path("run/environment.json").read_text())["methods"].values()
    assert found["mask_penalty_factors"] == {"lowest": pytest.approx(0.25), "highest": pytest.approx(2.25)}
    assert found["latent_weight"] == pytest.approx(4 * 10 * (0.2 / 1.6448536) ** 2)


def test_what_lies_outside_a_region_does_not_count(run):
    """The two pictures differ on the left, and the right counts."""
    for seed, name in enumerate("ab"):
        write(f"pair/{name}.png", (64, 32), 5)
        with Image.open(f"pair/{name}.png") as picture:
            picture.paste((255 * seed,) * 3, (0, 0, 20, 32))
            picture.save(f"pair/{name}.png")
    Image.new("L", (64, 32), 255).save("all.png")
    with Image.open("all.png") as region:
        region.paste(0, (0, 0, 34, 32))
        region.save("right.png")
    scores = []
    for roi in ("all.png", "right.png"):
        run("predict", "pair", **{"fit": "tiles", "dataset.roi": roi, "output_dir": roi[:-4], "map.sigma": 0})
        with Path(roi[:-4], "predictions.csv").open(newline="") as file:
            scores.append([float(row["score"]) for row in csv.DictReader(file)])
    assert scores[0][0] != scores[0][1]
    assert max(scores[1]) < min(scores[0])
    assert OmegaConf.load("right/config.yaml").roi.startswith("right.png ")
    for name in ("a", "b"):
        heat = np.asarray(Image.open(f"right/overlay/{name}.png").convert("L"))
        plain = np.asarray(Image.open(f"pair/{name}.png").convert("L"))
        assert np.array_equal(heat[:, :34], plain[:, :34])
        assert not np.array_equal(heat[:, 34:], plain[:, 34:])


@pytest.mark.parametrize(
    ("task", "source", "options", "message"),
    [
        ("predict", "photos/none.png", {}, "input=photos/none.png: no such file or folder"),
        ("predict", "thin.png", {"fit": "tiles"}, "thin.png: has 20x32 pixels, and a tile shows 32x32; use a larger"),
        ("predict", ".", {}, "input=.: contains the folder of the results (run)"),
        ("predict", "photos", {"fit": "half"}, "fit=half: must be one of auto, tiles, whole, squash"),
        ("predict", "photos", {"threshold": "high"}, "threshold=high: must be a number, or null"),
        ("predict", "photos", {"baseline": {}}, "baseline: not possible with input=...; remove it"),
        ("predict", "photos", {"solver.mask": "given"}, "solver.mask=given: the pictures of input=... have no true"),
        ("predict", "photos", {"map.kind": "combined"}, "map.kind=combined: needs a calibration; calibrate with: rgi"),
        (
            "predict",
            "photos",
            {"generator.path": "none"},
            "generator.path=none: no such file; name a trained generator",
        ),
        ("predict", "photos", {"dataset.roi": "none.png"}, "dataset.roi=none.png: no such file; name a mask file"),
        ("calibrate", "photos", {}, "input=photos: 3 clean pictures are too few; add some, at least 8"),
        (
            "calibrate",
            "photos",
            {"false_positive_rate": 1},
            "false_positive_rate=1: must be a number above 0 and below",
        ),
    ],
)
def test_wrong_options_are_one_line(task, source, options, message, run):
    write("thin.png", (20, 32))
    with pytest.raises(InputError) as refusal:
        run(task, source, **options)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)
    assert not Path("run/restored").exists()


def test_pictures_without_an_experiment_have_the_method_for_own_images():
    command = ["task=predict", "input=photos"]
    assert arguments.prepare(command) == [*command, arguments.OWN_PICTURES]
    for chosen in ([*command, "experiment=folder_rgi"], ["task=predict"], ["task=predict", "input=null"]):
        assert arguments.prepare(chosen) == chosen
