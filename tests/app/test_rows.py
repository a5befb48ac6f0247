"""Rows of a benchmark: started by each launcher, reported when they fail, and ended with the program."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from helpers.slurm import write_slurm
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from rgi.app import grid
from rgi.app.jobs.rows import launched, run_row
from rgi.errors import InputError

# What a row does: its arguments are its folder and its outcome. A row notes its share of the machine.
PROGRAM = """
import os, sys, time
from pathlib import Path
folder, outcome = Path(sys.argv[1]), sys.argv[2]
folder.mkdir(exist_ok=True)
names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "SLURM_NTASKS")
(folder / "share").write_text(" ".join(str(os.environ.get(name)) for name in names))
if outcome == "sleeps":
    time.sleep(60)
if outcome == "fails":
    sys.exit("a line\\nerror: dataset.root=x: no such folder\\nanother line")
(folder / "metrics.json").touch()
"""


@pytest.fixture
def choose(monkeypatch) -> Callable[..., None]:
    """Hydra's own configuration, as the command line would set it."""
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)

    def chosen(*overrides: str) -> None:
        grid.register()
        with initialize_config_dir(str(grid.CONF), version_base="1.3"):
            HydraConfig.instance().set_config(compose("config", list(overrides), return_hydra_config=True))

    return chosen


def commands(home: Path, **outcomes: str) -> dict[str, tuple[list[str], Path]]:
    """Arguments of `run_row` by the name of the row."""
    return {
        name: ([sys.executable, "-c", PROGRAM, str(home / name), outcome], home / name)
        for name, outcome in outcomes.items()
    }


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "slurm"])
def test_rows_end_with_their_reason(launcher, choose, tmp_path, monkeypatch):
    choose(f"hydra/launcher={launcher}")
    monkeypatch.setenv("PATH", str(write_slurm(tmp_path / "slurm")), prepend=os.pathsep)
    with launched(commands(tmp_path, one="works", two="fails"), tmp_path) as ended:
        assert dict(ended) == {"one": None, "two": "dataset.root=x: no such folder"}
    assert (tmp_path / "one/metrics.json").exists()
    written = (tmp_path / "one/metrics.json").stat().st_mtime_ns
    assert run_row(*commands(tmp_path, one="works")["one"]) is None
    assert (tmp_path / "one/metrics.json").stat().st_mtime_ns == written


def test_rows_at_a_time_share_gpus_and_cores(choose, tmp_path, monkeypatch):
    choose("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setenv("SLURM_NTASKS", "1")  # of a job that runs the benchmark; each row is a run of its own
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    shares: set[str] = set()
    with launched(commands(tmp_path, one="sleeps", two="sleeps"), tmp_path):
        while len(shares) < 2:
            time.sleep(0.01)
            shares = {path.read_text() for path in tmp_path.glob("*/share")} - {""}
    assert shares == {"4 8 None", "6 8 None"}


def test_what_ends_the_program_ends_its_rows(choose, tmp_path):
    """Within seconds, although the rows would take a minute. The second row never starts."""
    choose()
    start = time.monotonic()
    with suppress(KeyboardInterrupt), launched(commands(tmp_path, one="sleeps", two="sleeps"), tmp_path):
        while not (tmp_path / "one/share").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert time.monotonic() - start < 50
    assert [path.name for path in tmp_path.rglob("share")] == ["share"]


def test_a_cluster_that_is_not_here(choose, tmp_path, monkeypatch):
    choose("hydra/launcher=slurm")
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(InputError, match='launcher=slurm: Could not detect "srun"'),
        launched(commands(tmp_path, one="works"), tmp_path),
    ):
        pass
