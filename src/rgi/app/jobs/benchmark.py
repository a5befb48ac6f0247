"""Benchmarks: many runs, and the tables of their scores.

Each run is a process with the command that a user would type, see `rgi.app.jobs.rows`. The folder of a run has its
fingerprint in its name, so that a finished run is only used again if options, data, generator and code are the same.
"""

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from tqdm import tqdm

from rgi.app import run_files, runs, solve
from rgi.app.dry_run import plan
from rgi.app.jobs import launch
from rgi.app.jobs.rows import launched
from rgi.app.options import expand_home, make
from rgi.app.record import SCORE_COLUMNS
from rgi.errors import InputError, did_you_mean
from rgi.report.benchmark import SET_COLUMNS, write_benchmark

log = logging.getLogger(__name__)
FILES = ("table.csv", "table.md", "table.tex", "table.html", "figure.png", "rows/")
GROUP_COLUMNS = [*SET_COLUMNS, "method"]  # columns that identify a method on a test set


@dataclass(frozen=True)
class Row:
    """One run of a benchmark.

    Attributes:
        experiment: name of the experiment.
        options: overrides of the configuration.
        seed: seed of the run.
    """

    experiment: str
    options: tuple[str, ...]
    seed: int

    @property
    def overrides(self) -> list[str]:
        """Arguments of the command."""
        return [f"experiment={self.experiment}", f"seed={self.seed}", *self.options]


def benchmark(cfg: DictConfig) -> None:
    """Run all unfinished rows of a benchmark, and write the tables after each row.

    Args:
        cfg: configuration with the group ``benchmark``.

    Raises:
        InputError: the configuration has no benchmark, a row has an unknown option or choice, or another process works
            in the folder.
    """
    if OmegaConf.select(cfg, "benchmark") is None:
        raise InputError("benchmark: not given; add benchmark=anomaly, inpainting or demo")
    launch.refuse("task=benchmark", "start it as python run.py, with trainer=ddp")
    name = HydraConfig.get().runtime.choices.benchmark
    folder = Path(cfg.output_dir or f"outputs/benchmark/{name}")
    if cfg.dry_run:
        print(_plan(cfg, folder))
        return
    run_files.check_writable(f"output_dir={folder}", folder)
    runs.claim(folder / run_files.LOCK, f"{folder}: another process is working in this folder")
    rows = _rows(cfg)
    folders = _folders(rows, folder / "rows")
    failed: dict[Row, str] = {}
    program = [sys.executable, sys.argv[0]]
    commands = {
        row: ([*program, *row.overrides, f"output_dir={run}"], run)
        for row, run in folders.items()
        if not run_files.is_finished(run)
    }
    progress = {"total": len(rows), "initial": len(rows) - len(commands), "desc": f"benchmark {name}", "unit": "row"}
    with launched(commands, folder) as ended, tqdm(**progress) as bar:
        for row, reason in ended:
            if reason is not None:
                log.warning("%s: failed: %s", " ".join(row.overrides), reason)
                if not (folders[row] / "metrics.json").exists():  # only the log of a complete run can have failed
                    failed[row] = reason
            _write(folder, name, folders, failed)
            bar.update()
    print(_write(folder, name, folders, failed))


def _plan(cfg: DictConfig, folder: Path) -> plan.Plan:
    """The plan of all unfinished rows; a row is measured once for all seeds."""
    folders = _folders(_rows(cfg), folder / "rows")
    left = [row for row, run in folders.items() if not run_files.is_finished(run)]
    done = len(folders) - len(left)
    lines, seconds = [("task", "benchmark"), ("rows", f"{len(folders)}, {done} of them finished")], 0.0
    seeds = Counter((row.experiment, row.options) for row in left)
    for (experiment, options), count in tqdm(seeds.items(), desc="measuring", unit="row", leave=False):
        try:
            with _composed(Row(experiment, options, cfg.benchmark.seeds[0])) as row:
                each = solve.plan_of_invert(row).seconds
        except InputError as error:
            lines.append((experiment, f"fails: {error}"))
            continue
        seconds += count * each
        lines.append((experiment, f"{count} seeds, about {plan.duration(each)} each"))
    time = f"about {plan.duration(seconds)}; the start of each row and its report are not counted"
    return plan.Plan([*lines, ("time", time), ("writes", f"{folder}/ with {', '.join(FILES)}")], seconds)


def _rows(cfg: DictConfig) -> list[Row]:
    """All rows of the benchmark. The first seed comes first, so the table has all methods and test sets early.

    Raises:
        InputError: an option that a benchmark sets itself was typed.
    """
    hydra, table = HydraConfig.get(), cfg.benchmark
    ours = ("task=", "benchmark=", "benchmark.", "output_dir=")
    typed = [option for option in hydra.overrides.task if not option.startswith(ours)]
    for option, remedy in (("seed=", "benchmark.seeds=[0]"), ("experiment=", "benchmark.sets or benchmark.methods")):
        if any(each.startswith(option) for each in typed):
            raise InputError(f"{option}...: a benchmark sets this option for each row; use {remedy} instead")
    if hydra.runtime.choices.get("logger") == "wandb":
        typed.append(f"logger.group={hydra.runtime.choices.benchmark}")
    return [
        Row(f"{each.experiment}_{method}", (*each.options, *table.options, *typed), seed)
        for seed in table.seeds
        for each in table.sets
        for method in table.methods
    ]


def _folders(rows: list[Row], base: Path) -> dict[Row, Path]:
    """The folder of each row; all rows are composed here, so that errors appear early.

    Raises:
        InputError: a row has an unknown option or choice, or two rows would have the same place in the table.
    """
    folders: dict[Row, Path] = {}
    places: dict[tuple[str, ...], Row] = {}
    for row in rows:
        with _composed(row) as cfg:
            choices, category = HydraConfig.get().runtime.choices, make(cfg, "dataset").category
            method = choices.get("baseline") or choices.solver
            place = (choices.dataset, category, choices.get("corruption") or "", method, str(row.seed))
            other = places.setdefault(place, row)
            if other is not row:
                raise InputError(
                    f"benchmark: {' '.join(other.overrides)} and {' '.join(row.overrides)} would be one row of the "
                    "table; give one of them another dataset.category, or remove it"
                )
            key = f"{row.experiment.replace('/', '_')}-{category}-{row.seed}-{runs.run_fingerprint(cfg)[:12]}"
            folders[row] = base / key
    return folders


@contextmanager
def _composed(row: Row) -> Iterator[DictConfig]:
    """The configuration of a row, with Hydra's own part as in the row's process."""
    hydra = HydraConfig.instance()
    before = hydra.cfg
    try:
        cfg = compose("config", row.overrides, return_hydra_config=True)
        hydra.set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        expand_home(cfg)
        yield cfg
    except HydraException as error:
        reason = " ".join(str(error).partition("Available options")[0].split())  # the list of options is long
        near = did_you_mean(row.experiment, getattr(error, "options", None) or ())
        raise InputError(f"benchmark: {' '.join(row.overrides)}: {reason}{near and f'; {near.strip()}'}") from error
    finally:
        hydra.cfg = before


def _write(folder: Path, name: str, folders: dict[Row, Path], failed: dict[Row, str]) -> Path:
    """Write the tables of all finished rows in all formats. Returns the path of the page."""
    tables = [pd.DataFrame(columns=SCORE_COLUMNS, dtype=str)]
    pictures: dict[tuple[str, ...], dict[str, Path]] = {}
    for row, run in folders.items():
        if (run / "metrics.json").exists():
            tables.append(read_scores(run))
            *test_set, method = tables[-1].loc[0, GROUP_COLUMNS]
            if row.seed == min(each.seed for each in folders):
                pictures.setdefault(tuple(test_set), {})[method] = run / "results" / method
    scores = pd.concat(tables)
    failures = [{"experiment": row.experiment, "seed": row.seed, "reason": reason} for row, reason in failed.items()]
    failure_rows = pd.DataFrame([{"method": each["experiment"], **each} for each in failures])
    pd.concat([scores, failure_rows]).to_csv(folder / "table.csv", index=False)
    return write_benchmark(folder, name, summarise(scores), failures, pictures)


def read_scores(run: Path) -> pd.DataFrame:
    """Read table.csv of a finished run.

    All values stay text, because a category such as "03" must not become a number.

    Args:
        run: folder of the run.
    """
    return pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Summarise the scores over seeds.

    Args:
        scores: table with the columns `rgi.app.record.SCORE_COLUMNS` as text.

    Returns:
        A table with one row per test set, method and metric. Its columns are `GROUP_COLUMNS`, metric
        (``<protocol>/<metric>``), mean, spread (half of the range over seeds) and seeds (number of seeds). Mean and
        spread are NaN if the score of a seed is NaN.
    """
    metric = (scores["protocol"] + "/" + scores["metric"]).str.lstrip("/").rename("metric")
    values = scores["value"].replace("", "nan").astype(float)
    groups = values.groupby([*(scores[key] for key in GROUP_COLUMNS), metric], sort=False)
    return groups.agg(mean=fmean, spread=lambda seeds: (seeds.max() - seeds.min()) / 2, seeds="size").reset_index()
