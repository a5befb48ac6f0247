"""Shipped generators: found by their names, and never written to."""

from pathlib import Path

import pytest
from helpers.command_line import in_process
from helpers.tiny_sets import ENCODER, write_folder, write_generator

from rgi.generators import places
from rgi.generators.store import load_gan, read_card, sha256

TASK = [
    "dataset=folder",
    "dataset.root=root",
    "dataset.train=train",
    "dataset.resolution=32",
    "trainer.accelerator=cpu",
]
QUICK = [
    "solver.iterations=2",
    "solver.pool_size=4",
    *(f"generator.encoder.{name}={ENCODER[name]}" for name in ENCODER),
]
LOCAL = Path("data/generators/local/ours-32.safetensors")


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """A program's folder with one generator, and a working directory with images."""
    program, work = tmp_path / "program", tmp_path / "work"
    write_folder(work)
    monkeypatch.setattr(places, "SHIPPED", program)
    monkeypatch.chdir(work)
    return write_generator(program / "ours-32.safetensors", channels=3, resolution=32, residuals=False)


@pytest.mark.parametrize("name", ["ours-32", "shipped path", "default path"])
@pytest.mark.parametrize("task", ["encode", "calibrate"])
def test_encoder_and_calibration_of_a_shipped_generator_are_files_of_ones_own(task, name, shipped, monkeypatch):
    before = sha256(shipped), read_card(shipped)
    path = {"ours-32": "ours-32", "shipped path": shipped, "default path": LOCAL}[name]
    assert in_process(monkeypatch, f"task={task}", f"generator.path={path}", "dataset.channels=3", *TASK, *QUICK) == 0
    assert (sha256(shipped), read_card(shipped)) == before
    own = load_gan("ours-32")
    assert own.card == read_card(LOCAL)
    assert bool(own.encoder if task == "encode" else own.card.residuals)


@pytest.mark.parametrize("task", ["pretrain", "convert"])
def test_a_shipped_file_is_no_target(task, shipped, monkeypatch, capsys):
    before = sha256(shipped)
    option = f"{'target' if task == 'convert' else 'generator.path'}={shipped}"
    source = ["source=x.pt"] if task == "convert" else [*TASK, "dataset.channels=3"]
    assert in_process(monkeypatch, f"task={task}", option, *source) == 1
    message = f"error: {option}: belongs to the program, and is never replaced; name another file, such as {LOCAL}"
    assert capsys.readouterr().err.splitlines()[-1] == message
    assert sha256(shipped) == before


def test_a_training_writes_a_file_of_its_own_beside_the_shipped_one(shipped, monkeypatch):
    before = sha256(shipped)
    fit = ["task=pretrain", "generator=pca", "generator.latent_dim=4", f"generator.path={LOCAL}", "dataset.channels=3"]
    assert in_process(monkeypatch, *fit, *TASK, *QUICK[:2]) == 0
    assert sha256(shipped) == before
    assert load_gan("ours-32").card.family == "pca"
