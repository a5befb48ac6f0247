"""What a method leaves behind: its logger's run, the tables, and the page that is made from them."""

import json
import sys
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, WandbLogger

from rgi.app import runs
from rgi.evaluation.results import load_result
from rgi.report.page import MethodResults, write_report
from rgi.report.pictures import heat, heat_scale, photograph

PICTURES = ("observed", "restored", "map", "truth")
WORDS = ("method", "name", "kind", "category")  # columns of per_image.csv that are no numbers
SCORE_COLUMNS = ("dataset", "category", "corruption", "method", "protocol", "metric", "seed", "value")  # of table.csv


def method_logger(cfg: DictConfig, method: str, folder: Path) -> Logger:
    """The configured logger; in W&B a run is a method, grouped by dataset."""
    settings: dict[str, Any] = {"save_dir": str(folder)}
    if issubclass(get_class(cfg.logger._target_), WandbLogger):
        settings |= {
            "name": f"{cfg.name or cfg.task}-{method}",
            "group": cfg.logger.group or HydraConfig.get().runtime.choices.dataset,
            "job_type": method,
            "config": OmegaConf.to_container(OmegaConf.create(runs.resolved(cfg)), resolve=True),
        }
    else:
        settings["version"] = method
    return instantiate(cfg.logger, _partial_=True)(**settings)


def close_loggers() -> None:
    """End the W&B run, if there is one, so that the next method, training or job does not go on in it."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


def finish_logger(logger: Logger, table: list[dict[str, Any]], cost: dict[str, float], results: Path) -> None:
    """Log what the run cost and, in W&B, a table of pictures, and end it so that the next method gets its own."""
    logger.log_metrics(cost)
    if isinstance(logger, WandbLogger):
        logger.log_table("pictures", columns=["name", "score", *PICTURES], data=_pictures(table, results))
        logger.experiment.finish()
    logger.finalize("success")


def _pictures(table: list[dict[str, Any]], results: Path) -> list[list[Any]]:
    """Rows of a W&B table; the maps share one scale."""
    import wandb

    arrays = [load_result(results, row["name"]) for row in table]
    scale = heat_scale(each["map"] for each in arrays)
    lines = []
    for row, each in zip(table, arrays, strict=True):
        shown = {name: photograph(each[name]) for name in ("observed", "restored", "truth") if name in each}
        shown["map"] = heat(each["map"], scale)
        pictures = [wandb.Image(shown[name]) if name in shown else None for name in PICTURES]
        lines.append([row["name"], row["score"], *pictures])
    return lines


def long_form(scores: dict[str, dict[str, float]], cfg: DictConfig, category: str) -> pd.DataFrame:
    """Scores with one row per number, so that the tables of several runs can be put together and pivoted."""
    choices = HydraConfig.get().runtime.choices
    where = (choices.dataset, category, choices.get("corruption") or "")
    rows = []
    for method, values in scores.items():
        for name, value in values.items():
            protocol, _, metric = name.rpartition("/")
            rows.append((*where, method, protocol, metric, cfg.seed, value))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS, dtype=object)  # objects: a count stays a whole number


def write_page(folder: Path, title: str, scores: dict[str, dict[str, float]]) -> Path:
    """The page, from what the folder holds."""
    images = pd.read_csv(folder / "per_image.csv", dtype=str, keep_default_na=False)
    numbers = images.columns.difference(WORDS)
    images[numbers] = images[numbers].replace("", "nan").astype(float)
    methods = [
        MethodResults(
            method,
            {name.removeprefix("standard/"): nan if value is None else value for name, value in values.items()},
            images[images["method"] == method],
            folder / "results" / method,
        )
        for method, values in scores.items()
    ]
    environment = json.loads((folder / "environment.json").read_text())
    return write_report(folder, title, methods, (folder / "config.yaml").read_text(), environment=environment)
