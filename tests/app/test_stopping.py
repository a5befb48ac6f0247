"""Signals and failing jobs: exit status, message, and continuation without repeated work."""

import csv
import errno
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from helpers.command_line import COMMAND, LIMIT, environment, in_process, interrupt
from helpers.tiny_sets import write_generator

IMAGES = 4


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A working folder with a generator."""
    folder = tmp_path_factory.mktemp("home")
    write_generator(folder / "generator.safetensors")
    return folder


def inversion(home: Path, *overrides: str) -> list[str]:
    """A command that inverts `IMAGES` images one by one."""
    generator = f"generator.path={home / 'generator.safetensors'}"
    sizes = ["batch_size=1", f"dataset.test_images={IMAGES}", "solver.pool_size=8", "solver.iterations=60"]
    return [
        "experiment=textures_rgi",
        "map.kind=null",
        "map.sigma=0",
        generator,
        "map.false_positive_rate=null",
        "trainer.accelerator=cpu",
        *sizes,
        *overrides,
    ]


def solved(folder: Path) -> dict[Path, int]:
    """Modification times of the results files in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_gives_its_exit_status_and_one_line(number, status, home, tmp_path, monkeypatch):
    with subprocess.Popen(
        [*COMMAND, *inversion(home)], cwd=tmp_path, env=environment(home), stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + LIMIT
        while not solved(tmp_path):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == status
    assert errors.splitlines()[-1] == f"stopped by {number.name}; run the command again to continue"
    assert "Traceback" not in errors
    first = solved(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert in_process(monkeypatch, *inversion(home)) == 0
    assert solved(tmp_path).items() >= first.items()
    assert len(solved(tmp_path)) == IMAGES


def test_a_sweep_continues_after_a_failing_job_and_after_a_kill(home, tmp_path, monkeypatch, capsys):
    """The command runs three times. The first run is killed in its third job. The third run repeats no work."""
    monkeypatch.chdir(tmp_path)
    command = ["-m", *inversion(home, "solver.mask_penalty=0.05,-1,0.1,0.2")]
    base = tmp_path / "outputs/multirun"
    interrupt(home, lambda: solved(tmp_path) and list(base.glob("*/2/results/*/*/*.npz")), *command, cwd=tmp_path)
    first = solved(tmp_path)
    assert IMAGES < len(first) < 2 * IMAGES
    for _ in range(2):
        assert in_process(monkeypatch, *command) == 1
        errors = capsys.readouterr().err
        assert "error: job 1: solver.mask_penalty=-1: must be a number above 0, or auto" in errors
        assert errors.splitlines()[-1] == "error: 1 jobs failed: 1; see above"
        assert "Traceback" not in errors
        (folder,) = base.iterdir()
        assert solved(tmp_path).items() >= first.items()
        assert len(solved(tmp_path)) == 3 * IMAGES
        with (folder / "table.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {(row["job"], row["solver.mask_penalty"]) for row in rows} == {("0", "0.05"), ("2", "0.1"), ("3", "0.2")}
        assert not json.loads((folder / "command.json").read_text())["finished"]
        first = solved(tmp_path)


def test_a_full_disk_ends_in_one_line_and_the_same_command_continues(home, tmp_path, monkeypatch, capsys):
    """The disk is full when the third result is written."""
    monkeypatch.chdir(tmp_path)
    savez = np.savez_compressed

    def save(stream: IO[bytes], **arrays: np.ndarray) -> None:
        if len(solved(tmp_path)) == 2:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", stream.name)
        savez(stream, **arrays)

    monkeypatch.setattr(np, "savez_compressed", save)
    assert in_process(monkeypatch, *inversion(home)) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: outputs/textures_rgi/")
    assert line.endswith("cannot be written (No space left on device); make room, and run the command again")
    first = solved(tmp_path)
    assert len(first) == 2
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr(np, "savez_compressed", savez)
    assert in_process(monkeypatch, *inversion(home)) == 0
    assert solved(tmp_path).items() >= first.items()
    assert len(list(Path("outputs/textures_rgi").iterdir())) == 1
