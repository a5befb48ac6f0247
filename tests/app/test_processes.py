"""Several processes: started by torchrun or srun, and more processes than clean images."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import LIMIT, ROOT, environment, in_process
from helpers.tiny_sets import write_folder, write_generator

TIMING = ("seconds_per_image", "peak_memory_mib")
SETTINGS = ["trainer=ddp", "trainer.accelerator=cpu"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(ROOT / "run.py")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A working folder with a generator and images."""
    folder = tmp_path_factory.mktemp("home")
    write_generator(folder / "generator.safetensors", resolution=32)
    write_folder(folder)
    for number in (18, 19):  # one of the other 18 clean images is a validation image
        (folder / f"train/{number}.png").unlink()
    return folder


def inversion(home: Path, *overrides: str) -> list[str]:
    quick = ["solver.iterations=3", "solver.tune_from=2", "solver.pool_size=4", "solver.mask_penalty=0.1"]
    data = [f"dataset.{name}={home / folder}" for name, folder in (("root", "root"), ("masks", "masks"))]
    size = ["dataset.resolution=32", "dataset.channels=1", f"generator.path={home / 'generator.safetensors'}"]
    return ["experiment=folder_rgi", "trainer.accelerator=cpu", "batch_size=2", *data, *size, *quick, *overrides]


def started(command: list[str], cwd: Path) -> subprocess.CompletedProcess:
    """The ended process of a command that must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=environment(cwd), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def scores(folder: Path) -> dict[str, float]:
    found = json.loads((folder / "metrics.json").read_text())["rgi"]
    return {name: value for name, value in found.items() if name not in TIMING}


def one_folder(base: Path) -> Path:
    (folder,) = base.iterdir()
    return folder


def test_torchrun_inverts_like_one_process(home, tmp_path, monkeypatch):
    """Without output_dir, both find the same folder. One process has no clean image, because there is only one."""
    clean = [f"dataset.train={home / 'train'}", "map.false_positive_rate=0.1"]
    assert in_process(monkeypatch, *inversion(home, *clean, f"output_dir={tmp_path / 'one'}")) == 0
    done = started([*TORCHRUN, *inversion(home, *clean, *SETTINGS)], tmp_path)
    folder = one_folder(one_folder(tmp_path / "outputs"))
    assert done.stdout.splitlines()[-1] == str(folder.relative_to(tmp_path) / "report.html")
    assert len(list((folder / "validation").rglob("*.npz"))) == 1
    assert scores(folder) == pytest.approx(scores(tmp_path / "one"), abs=1e-6)
