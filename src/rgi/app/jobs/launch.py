"""Runs whose processes torchrun or srun has started, instead of Lightning.

Lightning starts its processes when the first one has made all checks and opened the run folder. Here the first process
goes ahead in the same way: the others wait for the folder of each job.
"""

import os
import time
from datetime import datetime
from functools import cache
from pathlib import Path

from rgi.errors import InputError

INTERVAL = 0.1  # seconds between two looks for a value
STEP = ("SLURM_NTASKS", "SLURM_STEP_ID")  # variables by which this module and Lightning know srun
_jobs = 0  # number of jobs whose folder is known to all processes


def rank() -> int:
    """Number of this process among all processes of the run."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # the order of Lightning
    return int(next((os.environ[name] for name in names if name in os.environ), 0))


def launcher() -> str | None:
    """The program that has started the processes: torchrun, srun, or None for this program itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as in Lightning
    return "srun" if {*STEP} <= os.environ.keys() and not interactive else None


def leave_single_step() -> None:
    """Forget srun if it has started this process alone, which then is like one that was started by hand."""
    if os.environ.get("SLURM_NTASKS") == "1":
        for name in STEP:
            os.environ.pop(name, None)


def processes() -> tuple[int, int]:
    """Number of all processes that the launcher has started, and of those on this machine."""
    if launcher() == "torchrun":
        return int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    world = int(os.environ["SLURM_NTASKS"])
    return world, world // int(os.environ.get("SLURM_NNODES", 1))


def name_multirun(variable: str) -> None:
    """Give the folder of a multirun the same name in all processes.

    Args:
        variable: environment variable with the name.
    """
    if launcher() is None:
        return
    if rank() == 0:
        os.environ.setdefault(variable, datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
        _store().set(variable, os.environ[variable])
    else:
        os.environ[variable] = _wait(variable)


def announce(folder: Path | None) -> None:
    """Tell the other processes the folder of this job; None if they have nothing to do, as after an error."""
    if launcher() is None or rank() or (folder is None and _store().check([_job()])):
        return  # nobody waits, or all know the folder already
    _store().set(_job(), "" if folder is None else str(folder))


def wait_for_folder() -> Path | None:
    """The folder that the first process has opened for this job; None if it does the job alone, or has failed."""
    folder = _wait(_job())
    return Path(folder) if folder else None


def next_job() -> None:
    """Begin a job; a multirun has several."""
    global _jobs
    _jobs += 1


def refuse(option: str, remedy: str) -> None:
    """Raise an error if a launcher has started the processes, for a task that starts processes itself.

    Args:
        option: option with its value, for the error message.
        remedy: what to do instead.

    Raises:
        InputError: a launcher has started the processes.
    """
    if launcher() is not None:
        raise InputError(f"{option}: not possible with {launcher()}, because it starts other commands; {remedy}")


def _job() -> str:
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", os.environ.get("SLURM_RESTART_COUNT", "0"))
    return f"rgi/{restarts}/{_jobs}"


@cache
def _store() -> "torch.distributed.Store":  # noqa: F821
    """A store of values for all processes: the one of torchrun, or a file of srun's job step."""
    from torch import distributed  # imported here, because --help does not need torch

    if launcher() == "torchrun":
        return distributed.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    step = f"{os.environ['SLURM_JOB_ID']}-{os.environ['SLURM_STEP_ID']}"
    Path("outputs").mkdir(exist_ok=True)
    return distributed.FileStore(f"outputs/.srun-{step}", int(os.environ["SLURM_NTASKS"]))


def _wait(key: str) -> str:
    """The value of a key, as soon as the first process sets it; a signal ends the wait."""
    while not _store().check([key]):
        time.sleep(INTERVAL)
    return _store().get(key).decode()
