"""Pretraining with the command line: continuation after a kill, longer schedules, and refused commands."""

import json
import shutil
import subprocess
import sys
from math import nan
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from helpers.command_line import COMMAND, TORCHRUN, in_process, interrupt, run
from helpers.tiny_sets import ENCODER, LATENT, NETWORK, write_folder, write_mvtec
from safetensors.torch import load_file

from rgi import SolverConfig, invert, load_gan
from rgi.app import options
from rgi.errors import InputError
from rgi.generators.store import read_card
from rgi.training import judging
from rgi.training.small_data import SmallDataTraining

WIDTHS = [4, 4, 2, 2]  # of the progressive family, up to 32 pixels


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder with own images."""
    return write_folder(tmp_path_factory.mktemp("images"))["root"].parent


def training(images: Path, generator: Path, *overrides: str, family: str = "compact") -> list[str]:
    """A command that trains a network for 60 small steps."""
    sizes = ["steps=60", "batch_size=4", "checkpoint_every=10", f"generator.latent_dim={LATENT}"]
    sizes += ["judge.every=20", "judge.images=2", "judge.samples=16", f"generator={family}"]
    network = {"widths": WIDTHS} if family == "progressive" else NETWORK
    sizes += [f"generator.options={{{','.join(f'{name}:{value}' for name, value in network.items())}}}"]
    sizes += [f"generator.encoder.{name}={value}" for name, value in ENCODER.items()]
    data = [f"dataset.{name}={images / name}" for name in ("root", "train")]
    size = ["dataset.resolution=32", "dataset.category=mine", "trainer.accelerator=cpu"]
    return ["experiment=folder_pretrain", *data, *size, *sizes, f"generator.path={generator}", *overrides]


def refused(capsys) -> str:
    """The line that an error prints."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_killed_training_ends_with_the_same_weights(images, tmp_path, monkeypatch, capsys, caplog):
    """Of a progressive GAN; tests/app/test_kills.py kills a compact one."""
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    command = training(images, whole, f"output_dir={tmp_path / 'whole'}", family="progressive")
    assert in_process(monkeypatch, *command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(whole)

    command = training(images, resumed, f"output_dir={tmp_path / 'resumed'}", family="progressive")
    newest = tmp_path / "resumed/checkpoints/newest.ckpt"
    interrupt(tmp_path, newest.exists, *command, cwd=tmp_path)
    assert not resumed.exists()
    assert 0 < torch.load(newest, weights_only=True)["global_step"] < 60

    with caplog.at_level("INFO"):
        assert in_process(monkeypatch, *command) == 0
    assert any(message.startswith(f"continuing from {newest}, step ") for message in caplog.messages)
    assert capsys.readouterr().out.splitlines()[-1] == str(resumed)
    first, second = load_file(whole), load_file(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    cards = read_card(whole), read_card(resumed)
    assert 0 < cards[0].steps <= 60
    for field in ("steps", "residuals", "quality"):
        assert getattr(cards[0], field) == getattr(cards[1], field)
    judged = [(tmp_path / name / "training.csv").read_text() for name in ("whole", "resumed")]
    assert judged[0] == judged[1]

    found = invert(load_gan(resumed), torch.zeros(1, 3, 32, 32), SolverConfig(mask_penalty="auto", iterations=5))
    assert found.objective.isfinite().all()


def test_the_best_state_is_kept(images, tmp_path, monkeypatch):
    """The best state has the lowest inversion gap."""
    generator, folder = tmp_path / "gan.safetensors", tmp_path / "run"
    command = training(images, generator, "judge.every=5", "steps=20", f"output_dir={folder}", "generator.encoder=null")
    assert in_process(monkeypatch, *command) == 0
    lines = (folder / "training.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), map(float, line.split(",")), strict=True)) for line in lines[1:]]
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    best = min(rows, key=lambda row: row["inversion_gap"])
    card = read_card(generator)
    assert card.steps == best["step"]
    assert card.quality["inversion_gap"] == pytest.approx(best["inversion_gap"])
    assert json.loads((folder / "metrics.json").read_text())["quality"] == card.quality
    assert len(list((folder / "samples").glob("*.png"))) == 4


def test_own_features_add_fid_and_kid(images, tmp_path, monkeypatch):
    features = "{_target_:rgi.metrics.generative.random_features.RandomFeatures,channels:3}"
    extra = [f"judge.features={features}", "judge.every=1", "steps=2", "generator.encoder=null"]
    command = training(images, tmp_path / "gan.safetensors", f"output_dir={tmp_path / 'run'}", *extra)
    assert in_process(monkeypatch, *command) == 0
    quality = read_card(tmp_path / "gan.safetensors").quality
    assert quality["fid"] > 0
    assert {"kid", "swd", "precision", "recall", "sample_distance", "held_out_distance"} <= quality.keys()
    judged = {"frechet", "kernel_distance", "precision", "recall"}  # by a network that the critic has never seen
    assert {f"efficientnet_lite0_{name}" for name in judged} <= quality.keys()


def test_two_processes_of_torchrun_train_together(images, tmp_path):
    """Each process has half of the images. One process writes the files."""
    generator, folder = tmp_path / "gan.safetensors", tmp_path / "run"
    extra = ["trainer=ddp", "steps=6", "judge.every=3", f"output_dir={folder}"]
    done = run(tmp_path, *training(images, generator, *extra), program=[*TORCHRUN, COMMAND[-1]])
    assert done.stdout.splitlines() == [str(generator)]
    assert "pretrain: 100%" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list((folder / "samples").glob("*.png"))) == 2
    assert read_card(generator).steps in (3, 6)
    assert load_gan(generator).encoder is not None


def test_a_longer_schedule_continues_from_the_generator_file(images, tmp_path, monkeypatch, capsys):
    generator = tmp_path / "gan.safetensors"

    def train(*overrides: str) -> int:
        return in_process(monkeypatch, *training(images, generator, "judge.every=5", *overrides))

    monkeypatch.chdir(tmp_path)
    assert train("steps=5") == 0
    assert train("steps=5") == 1
    assert f"generator.path={generator}: exists already, trained for 5 steps; set a higher number" in refused(capsys)
    assert train("steps=15", "generator.latent_dim=9") == 1
    assert "the generator file of 5 steps has latent_dim 8, but the configuration has 9" in refused(capsys)
    assert train("steps=15") == 0
    assert read_card(generator).steps in (5, 10, 15)
    judged = max(Path("outputs").rglob("training.csv"), key=lambda path: path.stat().st_mtime).read_text()
    assert [line.split(",")[0] for line in judged.splitlines()] == ["step", "5", "10", "15"]


def test_a_missing_generator_is_trained_first_on_request(tmp_path, monkeypatch, capsys):
    """The command is the one that the error names."""
    monkeypatch.chdir(tmp_path)
    write_mvtec(tmp_path / "mvtec")
    generator = tmp_path / "gan.safetensors"
    network = [f"generator.latent_dim={LATENT}", f"generator.path={generator}", "generator.encoder=null"]
    network.append("generator.options.width=4")
    command = [
        "experiment=mvtec_rrgi",
        "map.kind=null",
        f"dataset.root={tmp_path / 'mvtec'}",
        "dataset.resolution=32",
        *network,
    ]
    command += ["solver.iterations=3", "solver.tune_from=1", "solver.pool_size=8", "trainer.accelerator=cpu"]
    assert in_process(monkeypatch, *command) == 1
    assert "train it with: python run.py experiment=mvtec_pretrain" in refused(capsys)

    real, started = subprocess.run, []

    def quickly(arguments: list[str], **settings: object) -> subprocess.CompletedProcess:
        if arguments[0] != sys.executable:
            return real(arguments, **settings)
        started.append(arguments[2:])
        quick = ["steps=2", "judge.every=1", "judge.images=2", "judge.samples=16", "trainer.accelerator=cpu"]
        return real([*arguments, *quick], **settings)

    monkeypatch.setattr(options.subprocess, "run", quickly)
    assert in_process(monkeypatch, *command, "pretrain_if_missing=true") == 0
    data = [f"dataset.root={tmp_path / 'mvtec'}", "dataset.resolution=32"]
    assert started == [["experiment=mvtec_pretrain", *data, *network]]
    assert capsys.readouterr().out.splitlines()[-1].endswith("report.html")
    assert in_process(monkeypatch, *command, "pretrain_if_missing=true") == 0
    assert len(started) == 1


def test_a_training_that_fails_names_the_last_good_checkpoint(images, tmp_path, monkeypatch, capsys):
    folder, loss = tmp_path / "run", SmallDataTraining.critic_loss
    monkeypatch.setattr(
        SmallDataTraining,
        "critic_loss",
        lambda self, real, codes, step, random: loss(self, real, codes, step, random) * (nan if step == 5 else 1),
    )
    often = ["checkpoint_every=1", f"output_dir={folder}"]
    assert in_process(monkeypatch, *training(images, tmp_path / "gan.safetensors", *often)) == 1
    line = refused(capsys)
    assert "training step 6: a loss is not finite; start again with a smaller generator.training.lr" in line
    newest = folder / "checkpoints/newest.ckpt"
    assert f"(the last good checkpoint is {newest})" in line
    checkpoint = torch.load(newest, weights_only=True)
    assert checkpoint["global_step"] == 5
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())


@pytest.mark.parametrize("broken", ["rgi.training.encoder.corrupt", "rgi.app.training.train.clean_residuals"])
def test_the_generator_is_saved_before_encoder_and_calibration(broken, images, tmp_path, monkeypatch, capsys):
    """An error in a later part loses nothing: the run's folder has the generator, and the same command goes on."""
    folder, generator = tmp_path / "run", tmp_path / "gan.safetensors"
    command = training(images, generator, "steps=5", f"output_dir={folder}")

    def fail(*_: object, **__: object) -> None:
        raise InputError("broken for the test")

    with monkeypatch.context() as patch:
        patch.setattr(broken, fail)
        assert in_process(patch, *command) == 1
    assert "broken for the test" in refused(capsys)
    assert not generator.exists()
    kept = load_gan(folder / "generator.safetensors")
    assert (kept.card.dataset, kept.card.category, kept.card.steps) == ("folder", "mine", 5)
    assert (kept.encoder is None) == broken.endswith("corrupt")
    assert in_process(monkeypatch, *command) == 0
    finished = load_file(generator)
    assert all(
        tensor.equal(finished[f"generator.{name}"].float()) for name, tensor in kept.generator.state_dict().items()
    )


def test_a_generator_of_other_images_is_refused(images, tmp_path, monkeypatch, capsys, caplog):
    """Neither a training goes on from it nor an inversion uses it, unless it is asked to."""
    generator = tmp_path / "gan.safetensors"
    other = write_folder(tmp_path / "other")["root"].parent
    (other / "train/0.png").unlink()
    moved = shutil.copytree(images, tmp_path / "moved")
    short = ["steps=2", "judge.every=1", "generator.encoder=null"]
    assert in_process(monkeypatch, *training(images, generator, *short)) == 0
    written = generator.read_bytes()
    assert read_card(generator).training_data
    assert in_process(monkeypatch, *training(other, generator, *short, "steps=4")) == 1
    line = refused(capsys)
    assert f"generator.path={generator}: exists already, trained on other images; name another generator.path" in line
    assert generator.read_bytes() == written

    def invert_with(folder: Path, *options: str) -> int:
        data = [f"dataset.{name}={folder / name}" for name in ("root", "train")]
        solver = ["solver.iterations=2", "solver.pool_size=4", "dataset.resolution=32", "trainer.accelerator=cpu"]
        network = ["map.kind=null", f"generator.path={generator}"]
        command = ["experiment=folder_rgi", "task=predict", *network, *data, *solver, *options]
        return in_process(monkeypatch, *command)

    monkeypatch.chdir(tmp_path)
    assert invert_with(other) == 1
    line = refused(capsys)
    assert f"generator.path={generator}: was trained on other images" in line
    assert "generator.other_data=true" in line
    assert invert_with(other, "generator.other_data=true") == 0
    assert invert_with(moved) == 0
    card = generator.with_suffix(".json")
    card.write_text(json.dumps({k: v for k, v in json.loads(card.read_text()).items() if k != "training_data"}))
    assert invert_with(other) == 0
    assert f"{generator}: does not say which images it was trained on" in caplog.text


@pytest.mark.parametrize("family", ["compact", "progressive"])
@pytest.mark.parametrize("better", [False, True])
def test_only_a_better_state_replaces_the_generator_file(family, better, images, tmp_path, monkeypatch):
    """The state that a training continues from is judged first, and later states must beat it."""
    generator = tmp_path / "gan.safetensors"
    monkeypatch.chdir(tmp_path)
    short = ["judge.every=7", "generator.encoder=null"]
    assert in_process(monkeypatch, *training(images, generator, *short, "steps=7", family=family)) == 0
    written = [file.read_bytes() for file in (generator, generator.with_suffix(".json"))]
    gaps = [0.3, 0.2, 0.25] if better else [0.2, 0.2, 0.3]
    judged = iter(gaps)
    monkeypatch.setattr(judging, "inversion_gap", lambda *_: next(judged))
    command = training(images, generator, *short, "steps=21", f"output_dir={tmp_path / 'on'}", family=family)
    assert in_process(monkeypatch, *command) == 0
    rows = (tmp_path / "on/training.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [[str(7 + 7 * i), str(gap)] for i, gap in enumerate(gaps)]
    unchanged = [file.read_bytes() for file in (generator, generator.with_suffix(".json"))] == written
    assert unchanged != better
    card = read_card(generator)
    assert card.steps == (14 if better else 7)
    metrics = json.loads((tmp_path / "on/metrics.json").read_text())
    assert (metrics["steps"], metrics["steps_trained"]) == (card.steps, 21)


def test_two_trainings_cannot_write_the_same_file(images, tmp_path, monkeypatch, capsys):
    generator = tmp_path / "gan.safetensors"
    with FileLock(tmp_path / ".gan.safetensors.lock"):
        assert in_process(monkeypatch, *training(images, generator, f"output_dir={tmp_path / 'run'}")) == 1
    assert f"generator.path={generator}: another training writes it; wait for the other process" in refused(capsys)
