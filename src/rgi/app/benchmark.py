"""Tables of many runs: a row is a run, started as a user would, and kept under a key of all that it depends on."""

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
from rgi.report.benchmark import SET, write_benchmark

log = logging.getLogger(__name__)
KEYS = [*SET, "method"]


@dataclass(frozen=True)
class Row:
    """One run: an experiment with its options and seed."""

    experiment: str
    options: tuple[str, ...]
    seed: int

    @property
    def overrides(self) -> list[str]:
        return [f"experiment={self.experiment}", f"seed={self.seed}", *self.options]


def benchmark(cfg: DictConfig) -> None:
    """Run the rows that are not finished, one after another, and write the table after each.

    Raises:
        InputError: no benchmark chosen, or a row that names what does not exist.
    """
    if OmegaConf.select(cfg, "benchmark") is None:
        raise InputError("benchmark: not given; add benchmark=anomaly, inpainting or demo")
    name = HydraConfig.get().runtime.choices.benchmark
    folder = Path(cfg.output_dir or f"outputs/benchmark/{name}")
    runs.check_writable(f"output_dir={folder}", folder)
    runs.claim(folder / runs.LOCK, f"{folder}: another process is working in this folder")
    rows = _rows(cfg)
    places = {row: folder / "rows" / _key(row) for row in rows}  # composes every row before the first is run
    failed: dict[Row, str] = {}
    for row in tqdm(rows, desc=f"benchmark {name}", unit="row"):
        if not _finished(places[row]):
            failed |= _start(row, places[row])
            _write(folder, name, places, failed)
    print(_write(folder, name, places, failed))


def _rows(cfg: DictConfig) -> list[Row]:
    """Every method on every set, seed by seed, so that a table with one seed is there early."""
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
    """A folder's name: what the row is called, and a hash of its configuration, the code and the data."""
    try:
        cfg = compose("config", row.overrides)
    except HydraException as error:
        reason = str(error).partition("Available options")[0]  # which are many
        raise InputError(f"benchmark: {' '.join(row.overrides)}: {' '.join(reason.split())}") from error
    images = make(cfg, "dataset")
    parts = [OmegaConf.to_yaml(cfg), " ".join(row.overrides), _code(), _fingerprint(images), generator_cards(cfg)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"{row.experiment.replace('/', '_')}-{images.category}-{row.seed}-{digest}"


def _code() -> str:
    """A hash of this package's sources, which other commits may share."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _fingerprint(images: Any) -> str:
    """Which files a set has, by name, size and time; nothing for what comes with a package."""
    if not isinstance(images, FileSet):
        return ""
    tests = images.samples()
    masks = [sample.mask for sample in tests if sample.mask is not None]
    files = [*images.training_files(), *(sample.image for sample in tests), *masks]
    stats = ((file, file.stat()) for file in files)
    lines = "\n".join(f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats)
    return hashlib.sha256(lines.encode()).hexdigest()


def generator_cards(cfg: DictConfig) -> str:
    """The cards of all generators that the row might use, which hold their weights' hashes."""
    folders = {store.SHIPPED, Path("data/generators").resolve()}
    cards = [card for folder in sorted(folders) for card in sorted(folder.glob("*.json"))]
    given = OmegaConf.to_container(cfg.generator)["path"]
    own = Path(str(given)).with_suffix(".json")
    return "\n".join(card.read_text() for card in (*cards, own) if card.is_file())


def _finished(folder: Path) -> bool:
    """Whether a row's result is there. Of a benchmark that was killed a row may still be at work: it is waited for."""
    if folder.exists():
        with FileLock(folder / runs.LOCK):
            pass
    return (folder / "metrics.json").exists()


def _start(row: Row, folder: Path) -> dict[Row, str]:
    """Run a row; what went wrong, if anything did."""
    command = [sys.executable, sys.argv[0], *row.overrides, f"output_dir={folder}"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0 and (folder / "metrics.json").exists():
        return {}
    lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
    reason = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1]).removeprefix("error: ")
    log.warning("%s: failed: %s", " ".join(row.overrides), reason)
    return {row: reason}


def _write(folder: Path, name: str, places: dict[Row, Path], failed: dict[Row, str]) -> Path:
    """The table in all its forms, of the rows there are; returns the page."""
    tables = [pd.DataFrame(columns=SCORE_COLUMNS, dtype=str)]
    pictures: dict[tuple[str, ...], dict[str, Path]] = {}
    for row, place in places.items():
        if (place / "metrics.json").exists():
            tables.append(read_scores(place))
            *images, method = tables[-1].loc[0, KEYS]
            if row.seed == min(each.seed for each in places):
                pictures.setdefault(tuple(images), {})[method] = place / "results" / method
    scores = pd.concat(tables)
    lost = [{"experiment": row.experiment, "seed": row.seed, "reason": reason} for row, reason in failed.items()]
    failures = pd.DataFrame([{"method": each["experiment"], **each} for each in lost])
    pd.concat([scores, failures]).to_csv(folder / "table.csv", index=False)
    return write_benchmark(folder, name, summarise(scores), lost, pictures)


def read_scores(run: Path) -> pd.DataFrame:
    """The long form of a finished run's scores, as text: a category of digits is no number."""
    return pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and half of the range over the seeds, by `KEYS` and ``<protocol>/<metric>``; NaN if any of them is."""
    metric = (scores["protocol"] + "/" + scores["metric"]).str.lstrip("/").rename("metric")
    values = scores["value"].replace("", "nan").astype(float)
    groups = values.groupby([*(scores[key] for key in KEYS), metric], sort=False)
    return groups.agg(mean=fmean, spread=lambda seeds: (seeds.max() - seeds.min()) / 2, seeds="size").reset_index()
