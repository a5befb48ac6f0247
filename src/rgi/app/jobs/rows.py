"""The rows of a benchmark as processes: one after another, several at a time, or as jobs of a cluster.

``launcher=joblib`` runs several rows at a time on this machine, and submitit's launchers make each row a job. Without a
launcher there is one row at a time.
"""

import os
import subprocess
import threading
import time
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from queue import Queue
from typing import Any

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from rgi.app import run_files
from rgi.app.jobs import launch
from rgi.errors import InputError

INTERVAL = 0.1  # seconds between two looks for rows that have ended
LONGEST = 300  # characters of a reason; the errors of submitit quote whole logs


def run_row(command: list[str], folder: Path, variables: dict[str, str] | None = None) -> str | None:
    """Run a row that is not finished.

    A run of a killed benchmark can still be active. The function waits until this run ends.

    Args:
        command: command with its arguments.
        folder: folder of the run.
        variables: further environment variables of the process.

    Returns:
        The reason if the run has failed, else None.
    """
    if folder.exists():
        with FileLock(folder / run_files.LOCK):
            pass
    if run_files.is_finished(folder):
        return None
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    inherited = {name: value for name, value in os.environ.items() if name not in launch.STEP}  # of submitit's srun
    with subprocess.Popen(command, env=inherited | (variables or {}), **quiet) as process:
        _running.append(process)
        try:
            if _stopped.is_set():
                process.terminate()
            _, errors = process.communicate()
        finally:
            _running.remove(process)
    if process.returncode == 0 and (folder / "metrics.json").exists():
        return None
    lines = errors.strip().splitlines() or [f"ended with status {process.returncode}"]
    return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1]).removeprefix("error: ")


@contextmanager
def launched(
    commands: dict[Hashable, tuple[list[str], Path]], folder: Path
) -> Iterator[Iterator[tuple[Hashable, str | None]]]:
    """Run rows with the chosen launcher. Whatever ends the context also ends the rows.

    Args:
        commands: arguments of `run_row` for each row.
        folder: folder of the benchmark, for the logs of submitit.

    Yields:
        An iterator over each row when it has ended, and the reason if it has failed, else None.

    Raises:
        InputError: the launcher cannot be used here.
    """
    choice, options = HydraConfig.get().runtime.choices["hydra/launcher"], HydraConfig.get().launcher
    if "submitit" in options._target_:
        jobs = _submit(choice, OmegaConf.to_container(options, resolve=True), commands, folder)
    else:
        jobs = _start(options.get("n_jobs", 1), commands)
    try:
        yield _ended(jobs)
    finally:
        _stop([job for job in jobs.values() if not job.done()])


def _ended(jobs: dict[Hashable, Any]) -> Iterator[tuple[Hashable, str | None]]:
    waiting = list(jobs)
    while waiting:
        for row in [row for row in waiting if jobs[row].done()]:
            waiting.remove(row)
            yield row, _reason(jobs[row])
        time.sleep(INTERVAL)


_running: list[subprocess.Popen[str]] = []  # rows of this process
_stopped = threading.Event()  # no row may start any more


def _start(count: int, commands: dict[Hashable, tuple[list[str], Path]]) -> dict[Hashable, Any]:
    """Run rows in this machine's processes, each on its share of the cores and on one of the visible GPUs."""
    from torch import cuda  # imported here, because jobs of a cluster do not need torch in this module

    cores = os.cpu_count() or 1
    count = min(count if count > 0 else cores, len(commands) or 1)
    threads = {} if count == 1 or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, cores // count))}
    known = range(cuda.device_count())
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, known))).split(",")
    places: Queue[dict[str, str]] = Queue()
    for number in range(count):
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if count > 1 and len(known) > 1 else {}
        places.put(threads | gpu)

    def run(command: list[str], folder: Path) -> str | None:
        place = places.get()
        try:
            return run_row(command, folder, place)
        finally:
            places.put(place)

    _stopped.clear()
    pool = ThreadPoolExecutor(count)
    jobs = {row: pool.submit(run, *each) for row, each in commands.items()}
    pool.shutdown(wait=False)
    return jobs


def _submit(
    choice: str, options: dict[str, Any], commands: dict[Hashable, tuple[list[str], Path]], folder: Path
) -> dict[Hashable, Any]:
    """Hand rows to submitit, with the options of Hydra's launcher."""
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    cluster = "slurm" if "Slurm" in options.pop("_target_") else "local"
    options.pop("submitit_folder")  # of a multirun
    timeouts = {f"{cluster}_{name}": options.pop(name) for name in ("max_num_timeout",) if name in options}
    common = {field.name for field in fields(BaseQueueConf)}
    try:
        executor = submitit.AutoExecutor(folder / ".submitit/%j", cluster=cluster, **timeouts)
        executor.update_parameters(
            **{name if name in common else f"{cluster}_{name}": value for name, value in options.items()}
        )
        with executor.batch():
            return {row: executor.submit(run_row, *each) for row, each in commands.items()}
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise InputError(f"launcher={choice}: {' '.join(str(error).split())[:LONGEST]}") from error


def _reason(job: Any) -> str | None:
    """What a job returned, or why it ended without a result."""
    try:
        return job.result()
    except Exception as error:  # of a cluster: the job was cancelled, or had too little time or memory
        return " ".join(str(error).split())[:LONGEST]


def _stop(jobs: list[Any]) -> None:
    """Cancel jobs, and end the rows of this process."""
    if jobs:
        _stopped.set()
    for job in jobs:
        job.cancel()
    for process in list(_running):
        process.terminate()
