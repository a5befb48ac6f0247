"""Multiruns of Hydra: continuing an interrupted multirun, and one table with the scores of all jobs.

With a launcher, jobs run in other processes, also on other machines. Each job therefore leaves a record in the folder
of the multirun. The process that was started joins the records at the end, and removes them.
"""

import os
import shutil
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from rgi.app import grid, run_files
from rgi.app.jobs import launch

FOLDER = (
    "RGI_SWEEP"  # environment variable with the name of the multirun's folder, see hydra.sweep.dir in conf/config.yaml
)
COMMAND = "command.json"  # file in a multirun's folder: its arguments, and whether all jobs are finished
PART = "command.part"  # its temporary name, see `run_files.write_json`
RECORDS = ".jobs"  # folder in a multirun's folder with a record of each job that has ended
INTERVAL = 1.0  # seconds between two looks for records of jobs on other machines
failed_jobs: list[str] = []  # numbers of the failed jobs of this multirun
_worker: list[str] = []  # the launcher that has started this process for a job


def name_folder(arguments: list[str]) -> None:
    """Name the folder of a multirun: the newest unfinished multirun with the same arguments continues, if it exists.

    Args:
        arguments: arguments of the command line.
    """
    if not {"-m", "--multirun"} & set(arguments):
        return
    if FOLDER not in os.environ and launch.rank() == 0:
        _continue_unfinished(arguments)
    launch.name_multirun(FOLDER)
    os.environ.setdefault(FOLDER, datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))  # workers inherit it


def _continue_unfinished(arguments: list[str]) -> None:
    """Find the folder of an unfinished multirun, or one that was killed before it had written its arguments."""
    unfinished = {"arguments": arguments, "finished": False}
    for folder in sorted(Path("outputs/multirun").glob("*/"), reverse=True):
        names = {each.name for each in folder.iterdir()}
        if names <= {PART} or (COMMAND in names and run_files.read_file(folder / COMMAND) == unfinished):
            os.environ[FOLDER] = folder.name
            return


def current_job() -> str | None:
    """The number of the current job of a multirun; None outside a multirun."""
    hydra = HydraConfig.get()
    return str(hydra.job.num) if hydra.mode == RunMode.MULTIRUN else None


def launcher(arguments: list[str]) -> str | None:
    """The launcher that the arguments name for the jobs of a multirun; None for none.

    Args:
        arguments: arguments of the command line, see `rgi.app.arguments.prepare`.
    """
    named = [argument.partition("=")[2] for argument in arguments if argument.startswith("hydra/launcher=")]
    return named[-1] if named and {"-m", "--multirun"} & set(arguments) else None


def worker() -> str | None:
    """The launcher that has started this process for jobs of a multirun; None in the process of the command."""
    return _worker[0] if _worker else None


class SweepTable(Callback):
    """Callback that joins the scores of all jobs of a multirun in ``table.csv``, with the options of each job.

    Hydra hands a copy of this object to each process that a launcher starts.
    """

    def __init__(self) -> None:
        self.process, self.command = os.getpid(), sys.argv

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Save the arguments for `continue_unfinished`."""
        base = Path(config.hydra.sweep.dir)
        self._write(base, finished=False)
        if launch.rank() == 0:
            shutil.rmtree(base / RECORDS, ignore_errors=True)  # of an earlier start
        if "submitit" in config.hydra.launcher._target_:
            print(f"jobs are handed over; their logs are in {base}/.submitit", file=sys.stderr)
            threading.Thread(target=_watch, args=(base / RECORDS,), daemon=True).start()

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Make a process of a launcher like the process of the command, whose command it does not have."""
        if os.getpid() != self.process:
            _worker[:] = [config.hydra.runtime.choices["hydra/launcher"]]
            sys.argv = self.command
            grid.register()
            launch.leave_single_step()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Record the folder and the options of the job, and its error; `rgi.app.main.run_task` returns the error."""
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        done = job_return.status == JobStatus.COMPLETED
        record = {
            "folder": str(Path(config.hydra.runtime.output_dir)),
            "options": list(job_return.overrides),
            "error": job_return.return_value if done else "ended with a traceback",
        }
        if launch.rank() == 0:  # the other processes of `trainer=ddp` run the same jobs
            records = Path(config.hydra.sweep.dir) / RECORDS
            records.mkdir(parents=True, exist_ok=True)
            run_files.write_json(records / f"{config.hydra.job.num}.json", record)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Join the tables of all jobs that have a table."""
        if launch.rank():  # only the first process has the scores
            return
        import pandas as pd  # imported here, because Hydra makes this callback also for --help

        base, tables = Path(config.hydra.sweep.dir), []
        jobs = {path.stem: run_files.read_file(path) for path in (base / RECORDS).glob("*.json")}
        for number, job in sorted(jobs.items(), key=lambda item: int(item[0])):
            folder = Path(job["folder"])
            if job["error"] is not None:
                failed_jobs.append(number)
                if "submitit" in config.hydra.launcher._target_:  # the job has printed it into its own log
                    print(f"error: job {number}: {job['error']}", file=sys.stderr)
            if (folder / "table.csv").exists():
                options = dict(option.split("=", 1) for option in job["options"] if "=" in option)
                scores = pd.read_csv(folder / "table.csv")
                table = pd.DataFrame([{"job": folder.name, **options}] * len(scores))
                tables.append(pd.concat([table, scores], axis=1))
        if tables:
            pd.concat(tables).to_csv(base / "table.csv", index=False)
            print(base / "table.csv")
        self._write(base, finished=not failed_jobs)
        shutil.rmtree(base / RECORDS, ignore_errors=True)

    def _write(self, folder: Path, finished: bool) -> None:
        if launch.rank() == 0:  # the other processes of `trainer=ddp` run the same jobs
            folder.mkdir(parents=True, exist_ok=True)
            run_files.write_json(folder / COMMAND, {"arguments": sys.argv[1:], "finished": finished})


def _watch(records: Path) -> None:
    """Print each job that has ended, until the program ends."""
    known: set[str] = set()
    while True:
        for path in sorted(records.glob("*.json")):
            if path.stem not in known:
                known.add(path.stem)
                print(f"job {path.stem} has ended ({len(known)} so far)", file=sys.stderr)
        time.sleep(INTERVAL)
