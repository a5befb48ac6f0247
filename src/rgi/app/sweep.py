"""The table of a multirun."""

from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepTable(Callback):
    """After a multirun: the scores of all its jobs in one ``table.csv``, each with the options of its job."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Path, list[str]]] = []

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
        if tables:
            path = self.jobs[0][0].parent / "table.csv"
            pd.concat(tables).to_csv(path, index=False)
            print(path)
