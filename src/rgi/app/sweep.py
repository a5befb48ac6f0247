"""Multiruns of Hydra: continuing an interrupted multirun, and one table with the scores of all jobs."""

import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from rgi.app import launch, run_files

FOLDER = (
    "RGI_SWEEP"  # environment variable with the name of the multirun's folder, see hydra.sweep.dir in conf/config.yaml
)
COMMAND = "command.json"  # file in a multirun's folder: its arguments, and whether all jobs are finished
PART = "command.part"  # its temporary name, see `run_files.write_json`
failed_jobs: list[str] = []  # numbers of the failed jobs of this multirun


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


class SweepTable(Callback):
    """Callback that joins the scores of all jobs of a multirun in ``table.csv``, with the options of each job."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Path, list[str]]] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Save the arguments for `continue_unfinished`."""
        self._write(Path(config.hydra.sweep.dir), finished=False)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Remember the folder and the options of the job."""
        self.jobs.append((Path(config.hydra.runtime.output_dir), list(job_return.overrides)))

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Join the tables of all jobs that have a table."""
        if launch.rank():  # only the first process has the scores
            return
        import pandas as pd  # imported here, because Hydra makes this callback also for --help

        tables = []
        for folder, overrides in self.jobs:
            if (folder / "table.csv").exists():
                options = dict(option.split("=", 1) for option in overrides if "=" in option)
                scores = pd.read_csv(folder / "table.csv")
                job = pd.DataFrame([{"job": folder.name, **options}] * len(scores))
                tables.append(pd.concat([job, scores], axis=1))
        base = Path(config.hydra.sweep.dir)
        if tables:
            pd.concat(tables).to_csv(base / "table.csv", index=False)
            print(base / "table.csv")
        self._write(base, finished=not failed_jobs)

    @staticmethod
    def _write(folder: Path, finished: bool) -> None:
        if launch.rank() == 0:  # the other processes of `trainer=ddp` run the same jobs
            folder.mkdir(parents=True, exist_ok=True)
            run_files.write_json(folder / COMMAND, {"arguments": sys.argv[1:], "finished": finished})
