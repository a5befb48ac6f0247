"""Multiruns: a killed one continues in its folder, one whose job failed goes on, and all scores end in one table."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

FOLDER = "RGI_SWEEP"  # environment variable: the name of the multirun's folder, see hydra.sweep.dir in conf/config.yaml
COMMAND = "command.json"  # in a multirun's folder: its arguments, and whether all of its jobs are finished
failed_jobs: list[str] = []  # of this multirun


def continue_unfinished(arguments: list[str]) -> None:
    """Make a multirun write into the folder of the newest unfinished one with the same arguments, if there is one."""
    if FOLDER in os.environ or not {"-m", "--multirun"} & set(arguments):
        return
    unfinished = {"arguments": arguments, "finished": False}
    for file in sorted(Path("outputs/multirun").glob(f"*/{COMMAND}"), reverse=True):
        if json.loads(file.read_text()) == unfinished:
            os.environ[FOLDER] = file.parent.name
            return


def current_job() -> str | None:
    """The number of the multirun's job that is running; None if this is no multirun."""
    hydra = HydraConfig.get()
    return str(hydra.job.num) if hydra.mode == RunMode.MULTIRUN else None


class SweepTable(Callback):
    """After a multirun: the scores of all its jobs in one ``table.csv``, each with the options of its job."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Path, list[str]]] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Keep the arguments, for `continue_unfinished`."""
        self._write(Path(config.hydra.sweep.dir), finished=False)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Remember where the job wrote."""
        self.jobs.append((Path(config.hydra.runtime.output_dir), list(job_return.overrides)))

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Join the tables of the jobs that wrote one."""
        import pandas as pd  # here, since Hydra makes this callback for --help, too

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
        if os.environ.get("LOCAL_RANK", "0") == "0":  # the other processes of `trainer=ddp` run the same jobs
            folder.mkdir(parents=True, exist_ok=True)
            (folder / COMMAND).write_text(json.dumps({"arguments": sys.argv[1:], "finished": finished}) + "\n")
