"""Files that would run code when they are unpickled: every command refuses them in one line and runs nothing."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.command_line import in_process
from helpers.tiny_sets import ENCODER, NETWORK, write_folder, write_generator

SMALL = ["dataset.resolution=32", "dataset.channels=1"]
QUICK = ["solver.iterations=1", "solver.pool_size=4", "trainer.accelerator=cpu"]
INVERT = ["experiment=folder_rgi", "dataset.root=root", *SMALL, *QUICK]
TRAIN = [
    *("experiment=folder_pretrain", "dataset.root=root", "dataset.train=train", *SMALL, "steps=2", "batch_size=2"),
    *(f"generator.options={{{','.join(f'{name}:{value}' for name, value in NETWORK.items())}}}", "judge.samples=16"),
    *(f"generator.encoder.{name}={value}" for name, value in ENCODER.items()),
    *("generator.latent_dim=8", "judge.every=1", "judge.images=2", "trainer.accelerator=cpu"),
]


class Evil:
    """A pickle of this object makes a folder when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (str(Path("executed").absolute()),)


WRITERS = {
    "pickle": lambda path: path.write_bytes(pickle.dumps(Evil())),
    "old pickle": lambda path: path.write_bytes(pickle.dumps(Evil(), protocol=2)),
    "torch": lambda path: torch.save({"global_step": 1, "state_dict": {"weight": Evil()}}, path),
    "numpy": lambda path: np.savez(path.open("wb"), map=np.array([Evil()], object), observed=np.zeros((1, 32, 32))),
}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Own images, and a generator."""
    write_folder(tmp_path)
    write_generator(tmp_path / "gan.safetensors", resolution=32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(monkeypatch, capsys, *command: str) -> str:
    """The one error of a command that must fail, and has run nothing."""
    capsys.readouterr()
    assert in_process(monkeypatch, *command) == 1, command
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert not Path("executed").exists(), command
    return error


def test_the_files_would_run_code(home):
    """Or the tests below would show nothing."""
    with pytest.raises(FileNotFoundError):
        Path("executed").stat()
    for kind, load in {
        "pickle": lambda path: pickle.loads(path.read_bytes()),
        "old pickle": lambda path: pickle.loads(path.read_bytes()),
        "torch": lambda path: torch.load(path, weights_only=False),
        "numpy": lambda path: np.load(path, allow_pickle=True)["map"],
    }.items():
        WRITERS[kind](home / "evil.pt")
        load(home / "evil.pt")
        Path("executed").rmdir()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_malicious_generators_and_checkpoints_are_refused(home, monkeypatch, capsys):
    checkpoint = home / "run/checkpoints/newest.ckpt"
    checkpoint.parent.mkdir(parents=True)
    Path("evil.json").write_bytes(Path("gan.json").read_bytes())
    resume = [*TRAIN, "generator.path=new.safetensors", "output_dir=run"]
    for kind, write in WRITERS.items():
        for path in (home / "evil.pt", home / "evil.safetensors", checkpoint):
            write(path)
        assert "evil.pt: is a pickled checkpoint" in refusal(monkeypatch, capsys, *INVERT, "generator.path=evil.pt")
        convert = ("task=convert", "source=evil.pt", "target=new")
        assert "evil.pt: is no checkpoint" in refusal(monkeypatch, capsys, *convert), kind
        assert f"run/{checkpoint.relative_to(home / 'run')}: is no checkpoint" in refusal(monkeypatch, capsys, *resume)
    for command in (
        ["task=encode"],
        ["task=calibrate", "dataset=folder", "dataset.root=root", "dataset.train=train", *SMALL],
        TRAIN,
    ):
        assert "evil.safetensors: " in refusal(monkeypatch, capsys, *command, "generator.path=evil.safetensors")


def test_malicious_results_are_refused_by_the_report_and_solved_anew(home, monkeypatch, capsys):
    command = [*INVERT, "generator.path=gan.safetensors", "output_dir=run"]
    assert in_process(monkeypatch, *command) == 0
    result = home / "run/results/rgi/a.npz"
    with np.load(result) as file:
        before = dict(file)
    for write in WRITERS.values():
        write(result)
        assert f"{result.relative_to(home)}: " in refusal(monkeypatch, capsys, "task=report", "run=run")
    assert in_process(monkeypatch, *command) == 0
    with np.load(result) as file:
        np.testing.assert_allclose(file["map"], before["map"], atol=1e-4)
    assert not Path("executed").exists()
