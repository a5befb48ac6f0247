"""Records of a run: the log, the tables, and the report page."""

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
from rgi.report.pictures import heatmap, heatmap_scale, to_picture

PICTURE_COLUMNS = ("observed", "restored", "map", "truth")  # of the table in W&B
TEXT_COLUMNS = ("method", "name", "kind", "category", "defective")  # columns of per_image.csv without numbers
SCORE_COLUMNS = (
    "dataset",
    "category",
    "corruption",
    "method",
    "protocol",
    "metric",
    "seed",
    "value",
)  # columns of table.csv


def method_logger(cfg: DictConfig, method: str, folder: Path) -> Logger:
    """Create the configured logger for one method. In W&B, each method is a run, and the group is the dataset.

    Args:
        cfg: configuration of the run.
        method: name of the method.
        folder: folder of the run.
    """
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
    """Finish a W&B run that is still open. Otherwise the next method, training or job would log to the same run."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


def finish_logger(
    logger: Logger, table: list[dict[str, Any]], cost: dict[str, float], results: Path, settings: dict[str, Any]
) -> None:
    """Log the cost of a method and finish its log. W&B also gets a table of pictures and the resolved settings.

    Args:
        logger: logger of the method.
        table: rows of per_image.csv.
        cost: time and memory of the method by metric.
        results: folder with the results file of each image.
        settings: resolved settings of the method by name; W&B's configuration holds them as ``resolved``.
    """
    logger.log_metrics(cost)
    if isinstance(logger, WandbLogger):
        logger.log_hyperparams({"resolved": settings})
        logger.log_table("pictures", columns=["name", "score", *PICTURE_COLUMNS], data=_pictures(table, results))
        logger.experiment.finish()
    logger.finalize("success")


def _pictures(table: list[dict[str, Any]], results: Path) -> list[list[Any]]:
    """Rows of the W&B table. All heat maps have the same scale."""
    import wandb

    arrays = [load_result(results, row["name"]) for row in table]
    scale = heatmap_scale(each["map"] for each in arrays)
    lines = []
    for row, each in zip(table, arrays, strict=True):
        drawn = {name: to_picture(each[name]) for name in ("observed", "restored", "truth") if name in each}
        drawn["map"] = heatmap(each["map"], scale)
        pictures = [wandb.Image(drawn[name]) if name in drawn else None for name in PICTURE_COLUMNS]
        lines.append([row["name"], row["score"], *pictures])
    return lines


def long_form(scores: dict[str, dict[str, float]], cfg: DictConfig, category: str) -> pd.DataFrame:
    """Table of scores with one row per number and the columns `SCORE_COLUMNS`. Tables of several runs can be joined.

    Args:
        scores: metrics of each method by name, ``<protocol>/<metric>`` or ``<metric>``.
        cfg: configuration of the run.
        category: category of the dataset.
    """
    choices = HydraConfig.get().runtime.choices
    test_set = (choices.dataset, category, choices.get("corruption") or "")
    rows = []
    for method, values in scores.items():
        for name, value in values.items():
            protocol, _, metric = name.rpartition("/")
            rows.append((*test_set, method, protocol, metric, cfg.seed, value))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS, dtype=object)  # dtype object, because integers must stay integers


def write_page(folder: Path, title: str, scores: dict[str, dict[str, float]]) -> Path:
    """Write the report page of a run.

    Args:
        folder: folder of the run with the files per_image.csv, environment.json, config.yaml and the results.
        title: heading of the page.
        scores: metrics of each method by name.

    Returns:
        Path of the page.
    """
    images = pd.read_csv(folder / "per_image.csv", dtype=str, keep_default_na=False)
    numbers = images.columns.difference(TEXT_COLUMNS)
    images[numbers] = images[numbers].replace("", "nan").astype(float)
    environment = json.loads((folder / "environment.json").read_text())
    settings = environment.pop("methods", {})  # missing in the folders of older versions
    methods = [
        MethodResults(
            method,
            {name.removeprefix("standard/"): nan if value is None else value for name, value in values.items()},
            images[images["method"] == method],
            folder / "results" / method,
            settings.get(method, {}),
        )
        for method, values in scores.items()
    ]
    return write_report(folder, title, methods, (folder / "config.yaml").read_text(), environment=environment)
