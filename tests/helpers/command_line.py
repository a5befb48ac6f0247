"""The command line as tests use it: in this process, in one of its own, and killed half-way."""

import logging
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "run.py")]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]  # before a program
LIMIT = 120  # seconds until a process counts as hanging


def environment(home: Path) -> dict[str, str]:
    """One thread a process, as in the tests' own."""
    wandb = {name: str(home / "wandb") for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return inherited | wandb | {"OMP_NUM_THREADS": "1"}


def run(
    home: Path, *overrides: str, cwd: Path | None = None, program: list[str] = COMMAND
) -> subprocess.CompletedProcess:
    """A command that must succeed."""
    command = [*program, *overrides]
    done = subprocess.run(
        command, cwd=cwd or home, env=environment(home), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def interrupt(home: Path, reached: Callable[[], Any], *overrides: str, cwd: Path, then: Callable = lambda: None):
    """Start a command; as soon as it has ``reached`` something, stop it, do something else ``then``, and kill it -9."""
    with (home / "interrupted.txt").open("w+") as output:
        process = subprocess.Popen([*COMMAND, *overrides], cwd=cwd, env=environment(home), stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + LIMIT
            while not reached():
                assert process.poll() is None, (home / "interrupted.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.send_signal(signal.SIGSTOP)
            then()
        finally:
            process.kill()
            process.wait()
    assert process.returncode == -signal.SIGKILL


def in_process(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The real entry point without the seconds that a process takes to start; returns its exit status."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run.py"), *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    streams = logging.root.handlers[:]  # the program adds one for the stderr of this test alone
    try:
        runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        logging.root.handlers[:] = streams
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0
