"""Real runs that start in milliseconds, and die at a chosen moment.

Most of a run's life is the import of torch. Python's fork server imports it once. Each run is a fork of this server, so
that a random moment falls into the work.
"""

import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.command_line import LIMIT, ROOT
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from tqdm import tqdm

from rgi.app import runs
from rgi.app.jobs import rows

PRELOADED = (
    "rgi.app.main",
    "rgi.app.solve",
    "rgi.app.training.train",
    "rgi.app.jobs.benchmark",
    "rgi.app.trainer",
    "helpers.killing",
)
OUTPUT = "output.txt"  # name of the file with all that the runs of a working folder print
CREATING = os.O_CREAT | os.O_TRUNC  # flags of files that are opened to be written


@dataclass(frozen=True)
class Kill:
    """How and when a run dies.

    Attributes:
        number: the signal.
        seconds: time after the start; None for a moment of the file system.
        operation: number of the operation on files, from 1: the run dies at this one, see `die_at_operation`.
        whom: "all" processes of the run, only the "first", or only the "second".
    """

    number: signal.Signals
    seconds: float | None = None
    operation: int | None = None
    whom: str = "all"

    def __str__(self) -> str:
        when = f"after {self.seconds:.2f} s" if self.operation is None else f"at file operation {self.operation}"
        return f"{self.number.name} {when}" + ("" if self.whom == "all" else f" to the {self.whom} process alone")


@dataclass(frozen=True)
class End:
    """How a run ended.

    Attributes:
        status: exit status; below 0 for the number of a signal.
        seconds: time from the start to the end of its last process.
        operations: number of operations on files of the first process.
    """

    status: int
    seconds: float
    operations: int


def start_server() -> None:
    """Start the fork server, with one thread for each run."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        multiprocessing.forkserver.ensure_running()


def run_command(folder: Path, arguments: list[str], kill: Kill | None = None, wait: bool = True) -> End:
    """Run a command in a working folder, and perhaps kill it.

    Args:
        folder: working folder.
        arguments: arguments of the command line.
        kill: how and when the run dies; None to let it end.
        wait: whether to wait until processes that were not killed have ended, too.

    Raises:
        TimeoutError: a process has not ended in `LIMIT` seconds.
    """
    context = multiprocessing.get_context("forkserver")
    counter = context.Value("i", -1, lock=False)
    at_operation = kill if kill is not None and kill.operation is not None else None
    process = context.Process(target=_run, args=(folder, arguments, at_operation, counter))
    process.start()
    while counter.value < 0 and process.is_alive():  # until it has its own group
        time.sleep(0.001)
    started = time.perf_counter()
    if kill is not None and kill.seconds is not None:
        process.join(kill.seconds)
        if process.is_alive():
            send(kill, process.pid)
    try:
        while process.is_alive() or (wait and members(process.pid)):
            if time.perf_counter() - started > LIMIT:
                raise TimeoutError(f"a process is still alive after {LIMIT} s")
            time.sleep(0.02)
    finally:
        if wait:
            for each in members(process.pid):
                each.kill()
    return End(process.exitcode, time.perf_counter() - started, counter.value)


def members(group: int) -> list[psutil.Process]:
    """The living processes of a group, the first one first."""
    found = []
    for each in psutil.process_iter():
        try:
            if os.getpgid(each.pid) == group and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except (ProcessLookupError, psutil.NoSuchProcess):
            pass
    return sorted(found, key=lambda each: each.pid != group)


def send(kill: Kill, group: int) -> None:
    """Send the signal to the processes of a group."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):  # it has ended by itself
        if kill.whom == "all":
            os.killpg(group, kill.number)
        elif kill.whom == "first":
            os.kill(group, kill.number)
        else:
            for each in members(group)[1:2]:
                each.send_signal(kill.number)


def _run(folder: Path, arguments: list[str], kill: Kill | None, counter: Any) -> None:
    """The forked process: the program's entry point with a group, a folder and an output of its own."""
    os.setsid()
    os.chdir(folder)
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # until the program sets its own
    os.environ["RGI_CACHE"] = str(folder / "cache")
    sys.argv = [str(ROOT / "run.py"), *arguments]
    rows.subprocess = ForkedRows
    die_at_operation(kill, folder, counter)
    runpy.run_path(sys.argv[0], run_name="__main__")


class ForkedRows:
    """The module ``subprocess`` for a benchmark: its rows are forks as well."""

    DEVNULL, PIPE = subprocess.DEVNULL, subprocess.PIPE

    class Popen:
        """The row of a benchmark."""

        def __init__(self, command: list[str], **_: Any) -> None:
            self.process = multiprocessing.get_context("fork").Process(target=_row, args=(command[1:],))
            self.process.start()

        def __enter__(self) -> "ForkedRows.Popen":
            return self

        def __exit__(self, *_: object) -> None:
            self.process.join()

        def communicate(self) -> tuple[str, str]:
            """Wait for the end of the row."""
            self.process.join()
            return "", f"see {OUTPUT}"

        def terminate(self) -> None:
            """End the row."""
            self.process.terminate()

        @property
        def returncode(self) -> int | None:
            """Exit status of the row."""
            return self.process.exitcode


def _row(arguments: list[str]) -> None:
    """The forked process of a row: it inherits neither locks nor a configuration."""
    tqdm.set_lock(threading.RLock())  # another thread of the benchmark may have held the old one
    nowhere = os.open(os.devnull, os.O_RDWR)
    for lock in [each for each in psutil.Process().open_files() if each.path.endswith(".lock")]:
        os.dup2(nowhere, lock.fd)  # to unlock it here would unlock it in the benchmark
    runs.close_run()
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    sys.argv = arguments
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)  # Python would wait for the benchmark's threads, which a fork does not have


def die_at_operation(kill: Kill | None, folder: Path, counter: Any) -> None:
    """Count the operations of this process that change files below a folder; at the chosen one, send the signal.

    A file that would be opened for writing exists then, empty. Any other operation has not happened yet.
    """
    first, base = os.getpid(), str(folder)

    def watch(event: str, arguments: tuple) -> None:
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") or os.getpid() != first:
            return
        path = arguments[0]
        if isinstance(path, int) or (event == "open" and not (arguments[2] or 0) & CREATING):
            return
        if not os.path.abspath(os.fspath(path)).startswith(base):
            return
        counter.value += 1
        if kill is not None and counter.value == kill.operation:
            if event == "open":
                with suppress(OSError):  # the open itself would fail
                    os.open(path, arguments[2] & ~os.O_EXCL, 0o666)
                counter.value -= 1  # this call was watched, too
            send(kill, os.getpgid(0))

    counter.value = 0
    sys.addaudithook(watch)
