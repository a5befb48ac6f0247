"""What is reused: results, runs and rows of benchmarks know where they came from, and only what fits is taken over."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.command_line import in_process
from helpers.composed import composed
from helpers.report_page import Page
from helpers.tiny_sets import NETWORK, write_folder, write_generator
from PIL import Image

from rgi.app.options import find_generator
from rgi.app.runs import run_fingerprint
from rgi.generators import places, store
from rgi.generators.store import read_card, write_card
from rgi.inversion.weights import native_bfloat16

TIMES = ("seconds", "seconds_per_image", "peak_memory_mib")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working directory with images of one's own and a generator for them."""
    write_folder(tmp_path / "mine")
    write_generator(tmp_path / "gan.safetensors", channels=3, resolution=32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inversion(*overrides: str) -> list[str]:
    """A short inversion of the images."""
    data = ["dataset.root=mine/root", "dataset.masks=mine/masks", "dataset.train=mine/train", "dataset.resolution=32"]
    quick = ["solver.iterations=4", "solver.pool_size=8", "trainer.accelerator=cpu", "generator.path=gan.safetensors"]
    return ["experiment=folder_rgi", "map.kind=null", "map.sigma=0", *data, *quick, *overrides]


def repaint(path: str, seed: int = 99) -> None:
    """Another picture under the same name."""
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)).save(path)


def mark(path: str, rows: slice) -> None:
    """Another mask under the same name."""
    mask = np.zeros((40, 40), np.uint8)
    mask[rows] = 255
    Image.fromarray(mask).save(path)


def result_times(folder: Path) -> dict[str, int]:
    """When the result of each test image was written."""
    base = folder / "results"
    return {file.relative_to(base).as_posix(): file.stat().st_mtime_ns for file in base.rglob("*.npz")}


def scores(folder: Path) -> dict:
    """All scores but the times."""
    content = json.loads((folder / "metrics.json").read_text())
    return {method: {k: v for k, v in values.items() if k not in TIMES} for method, values in content.items()}


@pytest.mark.parametrize("finished", [True, False])
def test_only_what_has_changed_is_solved_anew(finished, home, monkeypatch, caplog):
    """A corrected picture and a corrected mask, in a finished run or one that was killed at its end."""
    assert in_process(monkeypatch, *inversion("output_dir=run")) == 0
    before = result_times(Path("run"))
    if not finished:
        Path("run/metrics.json").unlink()
    repaint("mine/root/a.png")
    mark("mine/masks/b.png", slice(30, 40))
    with caplog.at_level("WARNING"):
        assert in_process(monkeypatch, *inversion("output_dir=run")) == 0
    assert any("rgi: 2 results in run/results/rgi were of another image, mask," in line for line in caplog.messages)
    after = result_times(Path("run"))
    assert {name for name in after if after[name] != before[name]} == {"rgi/a.npz", "rgi/b.npz"}
    assert in_process(monkeypatch, *inversion("output_dir=fresh")) == 0
    assert scores(Path("run")) == scores(Path("fresh"))
    caplog.clear()
    with caplog.at_level("WARNING"):
        assert in_process(monkeypatch, *inversion("output_dir=run")) == 0
    assert result_times(Path("run")) == after
    assert not any("solved anew" in line for line in caplog.messages)


@pytest.mark.parametrize(("quantile", "prior"), [(0.5, "auto"), (0.9, "defects")])
def test_a_run_says_what_auto_stood_for(quantile, prior, home, monkeypatch):
    """λ = 2 t² with the card's residual t. A finished run that is repeated says the same."""
    card = read_card(Path("gan.safetensors"))
    card.residuals.update({"0.5": 0.125, "0.9": 0.25})
    card = dataclasses.replace(card, defect_prior=4.0)
    write_card(card, Path("gan.safetensors"))
    command = inversion(
        "output_dir=run",
        "solver.mask_penalty=auto",
        f"solver.latent_weight={prior}",
        f"solver.clean_quantile={quantile}",
        "seed=3",
    )
    for _ in range(2):
        assert in_process(monkeypatch, *command, "solver.precision=auto") == 0
        found = json.loads(Path("run/environment.json").read_text())["methods"]["rgi"]
        expected = "bfloat16" if native_bfloat16(torch.device("cpu")) else "float32"
        threshold = found.pop("threshold")
        assert found.pop("seconds") > 0
        assert found == {
            "mask_penalty": {0.5: 0.03125, 0.9: 0.125}[quantile],
            "latent_weight": pytest.approx({"auto": 10, "defects": 40}[prior] * (0.25 / 1.6448536) ** 2),
            "precision": expected,
            "generator_sha256": card.sha256,
            "map": "mask",
            "device": "cpu",
            "seed": 3,
        }
    clean = [np.load(file)["map"] for file in Path("run/validation").rglob("*.npz")]
    assert np.mean(np.concatenate(clean) > threshold) == pytest.approx(0.01, abs=0.002)
    page = Page(Path("run/report.html")).text
    for words in (
        "Resolved settings",
        f"λ {found['mask_penalty']:g} Weight of |z|² {found['latent_weight']:.6g} Precision of the networks {expected}",
        f"Seed 3 Generator (SHA-256) {card.sha256[:12]} Anomaly map mask Threshold of the map, from clean images "
        f"{threshold:.6g} Device cpu",
    ):
        assert words in page


def test_a_run_says_how_far_automatic_penalties_differ(home, monkeypatch):
    """The factors on λ are squares of the card's scale."""
    card = dataclasses.replace(read_card(Path("gan.safetensors")), residual_scale=[[0.5, 1.0], [1.0, 1.5]])
    write_card(card, Path("gan.safetensors"))
    assert in_process(monkeypatch, *inversion("output_dir=run", "solver.mask_penalty=auto")) == 0
    found = json.loads(Path("run/environment.json").read_text())["methods"]["rgi"]
    assert found["mask_penalty_factors"] == {"lowest": pytest.approx(0.25), "highest": pytest.approx(2.25)}
    assert "Factors on λ, by position lowest 0.25, highest 2.25" in Page(Path("run/report.html")).text


@pytest.mark.parametrize("change", ["code", "residuals", "residual_scale", "defect_prior"])
def test_a_change_of_code_or_calibration_solves_everything_anew(change, home, monkeypatch):
    assert in_process(monkeypatch, *inversion("output_dir=run")) == 0
    before = result_times(Path("run"))
    if change == "code":
        monkeypatch.setattr("rgi.evaluation.modules.code_fingerprint", lambda: "another version")
    else:
        card = read_card(Path("gan.safetensors"))
        values = {"residual_scale": [[0.5, 1.5]], "residuals": card.residuals | {"0.9": 0.2}, "defect_prior": 4.0}
        card = dataclasses.replace(card, **{change: values[change]})
        write_card(card, Path("gan.safetensors"))
    assert in_process(monkeypatch, *inversion("output_dir=run")) == 0
    after = result_times(Path("run"))
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in after)


def test_other_strong_residuals_solve_r_rgi_anew(home, monkeypatch):
    """λ is the same, but θ learns from other pixels."""
    tuned = ["solver.tune_generator=true", "solver.tune_from=1", "solver.clean_quantile=0.9", "solver.mask_hold=0.3"]
    assert in_process(monkeypatch, *inversion("output_dir=run", *tuned)) == 0
    before = result_times(Path("run"))
    card = read_card(Path("gan.safetensors"))
    write_card(dataclasses.replace(card, residuals=card.residuals | {"0.99": 0.3}), Path("gan.safetensors"))
    assert in_process(monkeypatch, *inversion("output_dir=run", *tuned)) == 0
    after = result_times(Path("run"))
    assert all(after[name] != before[name] for name in after)


def test_a_killed_run_continues_with_another_batch_size_and_logger(home, monkeypatch):
    """What decides no number may change, after the memory did not suffice for instance."""
    assert in_process(monkeypatch, *inversion("batch_size=4")) == 0
    (run,) = Path("outputs/folder_rgi").iterdir()
    before = result_times(run)
    (run / "metrics.json").unlink()
    (run / "results/rgi/a.npz").unlink()
    assert in_process(monkeypatch, *inversion("batch_size=1", "logger=wandb", "trainer.enable_model_summary=true")) == 0
    assert list(Path("outputs/folder_rgi").iterdir()) == [run]
    assert {name for name, time in result_times(run).items() if before[name] != time} == {"rgi/a.npz"}


CHANGES = {  # of the fingerprint of a run
    "picture": lambda: repaint("mine/root/sub/c.png"),
    "mask": lambda: mark("mine/masks/sub/c.png", slice(0, 3)),
    "training picture": lambda: repaint("mine/train/3.png"),
    "new picture": lambda: shutil.copy("mine/train/3.png", "mine/train/new.png"),
    "generator": lambda: write_card(
        store.dataclasses.replace(read_card(Path("gan.safetensors")), sha256="0" * 64), Path("gan.safetensors")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_of_a_run_holds_files_and_generator(change, home):
    before = run_fingerprint(composed(*inversion()))
    assert run_fingerprint(composed(*inversion())) == before
    CHANGES[change]()
    assert run_fingerprint(composed(*inversion())) != before


@pytest.mark.parametrize(
    ("override", "decides"),
    [
        ("batch_size=3", False),
        ("trainer=ddp", False),
        ("logger=wandb", False),
        ("output_dir=elsewhere", False),
        ("debug=true", False),
        ("pretrain_if_missing=true", False),
        ("seed=1", True),
        ("solver.lr_latent=0.2", True),
        ("map.sigma=1", True),
        ("map.false_positive_rate=0.1", True),
        ("dataset.resolution=64", True),
    ],
)
def test_the_fingerprint_of_a_run_holds_the_options_that_decide_numbers(override, decides, home):
    before, after = (run_fingerprint(composed(*inversion(*more))) for more in ((), (override,)))
    assert (before != after) == decides


@pytest.mark.parametrize("override", ["batch_size=3", "trainer.devices=2", "steps=7"])
def test_a_training_depends_on_its_batches(override, home):
    training = ["experiment=folder_pretrain", "dataset.root=mine/root", "dataset.train=mine/train"]
    before, after = (run_fingerprint(composed(*training, *more)) for more in ((), (override,)))
    assert before != after


def test_a_killed_training_is_not_continued_on_other_images(home, monkeypatch, capsys):
    data = ["dataset.root=mine/root", "dataset.train=mine/train", "dataset.resolution=32", "trainer.accelerator=cpu"]
    sizes = ["steps=2", "batch_size=4", "checkpoint_every=1", "judge.every=1", "judge.images=2", "judge.samples=16"]
    network = [f"generator.options.{name}={value}" for name, value in NETWORK.items()]
    target = ["generator.encoder=null", "generator.path=new.safetensors"]
    training = ["experiment=folder_pretrain", *data, *sizes, *network, *target]
    assert in_process(monkeypatch, *training) == 0
    (run,) = Path("outputs/folder_pretrain").iterdir()
    for file in (run / "metrics.json", Path("new.safetensors"), Path("new.json")):
        file.unlink()  # as if killed after the last checkpoint
    repaint("mine/train/3.png")
    assert in_process(monkeypatch, *training, f"output_dir={run}") == 1
    assert "has checkpoints of a training on other images; name another output_dir" in capsys.readouterr().err
    assert in_process(monkeypatch, *training) == 0
    assert len(list(Path("outputs/folder_pretrain").iterdir())) == 2


def test_image_scores_use_labels_from_before_the_masks_were_resized(home, monkeypatch, caplog):
    """The only defect of an image is a hairline, which vanishes from the mask of 32 pixels."""
    for name in ("a", "b", "sub/c", "sub/d", "sub/e"):
        mark(f"mine/masks/{name}.png", slice(0))
    hairline = np.zeros((400, 400), np.uint8)
    hairline[7, 10:390] = 255
    Image.fromarray(hairline).save("mine/masks/a.png")
    Image.open("mine/root/a.png").resize((400, 400)).save("mine/root/a.png")
    with caplog.at_level("WARNING"):
        assert in_process(monkeypatch, *inversion("output_dir=run")) == 0
    assert any("1 images are defective, but nothing is left of their masks" in line for line in caplog.messages)
    with Path("run/per_image.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert {name: row["defective"] for name, row in rows.items()} == {name: str(name == "a") for name in rows}
    above = [float(rows["a"]["score"]) > float(row["score"]) for name, row in rows.items() if name != "a"]
    assert scores(Path("run"))["rgi"]["standard/image_auroc"] == pytest.approx(np.mean(above))


def test_a_path_is_a_path_and_a_name_is_a_shipped_name(home):
    def found(path: str) -> Path | None:
        return find_generator(composed("dataset=textures", f"generator.path={path}"))

    shipped = places.SHIPPED / "textures-brick-64.safetensors"
    assert found("textures-brick-64") == shipped
    assert found("textures-brick-64.safetensors") == shipped
    assert found("data/generators/textures-brick-64.safetensors") == shipped  # the default, away from the checkout
    assert found("nowhere/textures-brick-64.safetensors") is None
    assert found("gan.safetensors") == Path("gan.safetensors")


@pytest.mark.parametrize("root", [".", "mine"])
def test_results_are_not_written_among_the_images(root, home, monkeypatch, capsys):
    command = ["experiment=folder_rgi", "task=predict", f"dataset.root={root}", "generator.path=gan.safetensors"]
    assert in_process(monkeypatch, *command, "dataset.resolution=32", "output_dir=mine/run") == 1
    assert f"error: dataset.root={root}: contains the folder of the results (mine/run)" in capsys.readouterr().err
    assert not Path("mine/run").exists()


TABLE = ["task=benchmark", "benchmark=demo", "benchmark.methods=[pca]", "benchmark.seeds=[0]"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=5"], "seed=...: a benchmark sets this option for each row; use benchmark.seeds=[0] instead"),
        (
            [
                "benchmark.sets=[{experiment:textures,options:[]},{experiment:textures,options:['dataset.test_images=9']}]"
            ],
            "would be one row of the table; give one of them another dataset.category",
        ),
    ],
)
def test_a_table_whose_rows_would_mix_is_refused(overrides, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert in_process(monkeypatch, *TABLE, *overrides) == 1
    assert message in capsys.readouterr().err


def test_what_is_typed_counts_for_every_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = []

    def run_row(command: list[str], *_: object) -> str:
        commands.append(command)
        return "not today"

    monkeypatch.setattr("rgi.app.jobs.rows.run_row", run_row)
    for seed in (0, 1):
        assert in_process(monkeypatch, *TABLE, f"dataset.seed={seed}", "batch_size=8") == 0
    assert all({f"dataset.seed={seed}", "batch_size=8", "seed=0"} <= {*row} for seed, row in enumerate(commands))
    assert commands[0][-1] != commands[1][-1]  # the folders


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "metrics.json"])
def test_a_damaged_file_of_a_run_is_named(name, home, monkeypatch, capsys):
    assert in_process(monkeypatch, *inversion("output_dir=run")) == 0
    Path("run", name).write_text('{"a": [')
    commands = [["task=report", "run=run"]]
    if name != "metrics.json":
        commands.append(inversion("output_dir=run"))
    for command in commands:
        capsys.readouterr()
        assert in_process(monkeypatch, *command) == 1
        assert f"error: run/{name}: is damaged" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_that_was_killed_while_it_wrote_its_log_is_not_finished(home, monkeypatch):
    """The log is written after the results, and again when the command is typed again."""
    assert in_process(monkeypatch, *inversion()) == 0
    (folder,) = Path("outputs/folder_rgi").iterdir()
    before = result_times(folder)
    Path(folder, ".unlogged").touch()
    shutil.rmtree(folder / "log")
    assert in_process(monkeypatch, *inversion()) == 0
    assert list(Path("outputs/folder_rgi").iterdir()) == [folder]
    assert result_times(folder) == before
    assert list((folder / "log").rglob("metrics.csv"))
    assert in_process(monkeypatch, *inversion()) == 0
    assert len(list(Path("outputs/folder_rgi").iterdir())) == 2
