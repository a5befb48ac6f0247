"""Benchmarks: many runs, and the tables of their scores.

Each run is a process with the command that a user would type. The folder of a run has a hash in its name. The hash
covers the configuration, the source code, the data and the generators, so that a finished run is only used again if
none of them has changed.
"""

import hashlib
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from filelock import FileLock
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from rgi.app import runs
from rgi.app.options import make
from rgi.app.record import SCORE_COLUMNS
from rgi.data.files import FileSet
from rgi.errors import InputError
from rgi.generators import store
from rgi.report.benchmark import SET_COLUMNS, write_benchmark

log = logging.getLogger(__name__)
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
    """Run all unfinished rows of a benchmark in sequence, and write the tables after each row.

    Args:
        cfg: configuration with the group ``benchmark``.

    Raises:
        InputError: the configuration has no benchmark, a row has an unknown option or choice, or another process works
            in the folder.
    """
    if OmegaConf.select(cfg, "benchmark") is None:
        raise InputError("benchmark: not given; add benchmark=anomaly, inpainting or demo")
    name = HydraConfig.get().runtime.choices.benchmark
    folder = Path(cfg.output_dir or f"outputs/benchmark/{name}")
    runs.check_writable(f"output_dir={folder}", folder)
    runs.claim(folder / runs.LOCK, f"{folder}: another process is working in this folder")
    rows = _rows(cfg)
    folders = {row: folder / "rows" / _key(row) for row in rows}  # composes all rows, so errors appear early
    failed: dict[Row, str] = {}
    for row in tqdm(rows, desc=f"benchmark {name}", unit="row"):
        if not _finished(folders[row]):
            failed |= _run(row, folders[row])
            _write(folder, name, folders, failed)
    print(_write(folder, name, folders, failed))


def _rows(cfg: DictConfig) -> list[Row]:
    """All rows of the benchmark. The first seed comes first, so the table has all methods and test sets early."""
    hydra = HydraConfig.get()
    common = [option for option in hydra.overrides.task if option.startswith(("logger", "trainer"))]
    if hydra.runtime.choices.logger == "wandb":
        common.append(f"logger.group={hydra.runtime.choices.benchmark}")
    table = cfg.benchmark
    return [
        Row(f"{each.experiment}_{method}", (*each.options, *table.options, *common), seed)
        for seed in table.seeds
        for each in table.sets
        for method in table.methods
    ]


def _key(row: Row) -> str:
    """Folder name of a row: experiment, category and seed, and a hash of configuration, code, data and generators."""
    try:
        cfg = compose("config", row.overrides)
    except HydraException as error:
        reason = str(error).partition("Available options")[0]  # the list of options is long
        raise InputError(f"benchmark: {' '.join(row.overrides)}: {' '.join(reason.split())}") from error
    images = make(cfg, "dataset")
    parts = [OmegaConf.to_yaml(cfg), " ".join(row.overrides), _code(), _fingerprint(images), generator_cards(cfg)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"{row.experiment.replace('/', '_')}-{images.category}-{row.seed}-{digest}"


def _code() -> str:
    """Hash of the source files of this package. Commits with equal source files have the same hash."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _fingerprint(images: Any) -> str:
    """Hash of the names, sizes and times of the image files; empty for datasets that come with a package."""
    if not isinstance(images, FileSet):
        return ""
    tests = images.samples()
    masks = [sample.mask for sample in tests if sample.mask is not None]
    files = [*images.training_files(), *(sample.image for sample in tests), *masks]
    stats = ((file, file.stat()) for file in files)
    lines = "\n".join(f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats)
    return hashlib.sha256(lines.encode()).hexdigest()


def generator_cards(cfg: DictConfig) -> str:
    """Text of the cards of all generators that a run can use. A card contains the hash of the generator's weights.

    Args:
        cfg: configuration of the run.
    """
    folders = {store.SHIPPED, Path("data/generators").resolve()}
    cards = [card for folder in sorted(folders) for card in sorted(folder.glob("*.json"))]
    given = OmegaConf.to_container(cfg.generator)["path"]
    own = Path(str(given)).with_suffix(".json")
    return "\n".join(card.read_text() for card in (*cards, own) if card.is_file())


def _finished(folder: Path) -> bool:
    """Whether a row is finished.

    A run of a killed benchmark can still be active. The function waits until this run ends.
    """
    if folder.exists():
        with FileLock(folder / runs.LOCK):
            pass
    return (folder / "metrics.json").exists()


def _run(row: Row, folder: Path) -> dict[Row, str]:
    """Run a row. Returns the row and the reason if the run has failed, else an empty dictionary."""
    command = [sys.executable, sys.argv[0], *row.overrides, f"output_dir={folder}"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0 and (folder / "metrics.json").exists():
        return {}
    lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
    reason = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1]).removeprefix("error: ")
    log.warning("%s: failed: %s", " ".join(row.overrides), reason)
    return {row: reason}


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
