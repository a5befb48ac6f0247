"""Records of a run: the tables, and the report page."""

from math import isnan, nan
from pathlib import Path

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rgi.app import run_files
from rgi.report.methods import label
from rgi.report.page import MethodResults, write_report

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
    "map",
)  # columns of table.csv
OF_RESTORATION = ("psnr", "ssim", "mask_iou")  # beginnings of metrics of the standard protocol that rank no map


def comparison(scores: dict[str, dict[str, float]], restored: bool) -> str:
    """What the scores of several methods say, in one sentence; empty for one method, and without a main score.

    Args:
        scores: metrics of each method by name.
        restored: whether the methods are compared by their restored images, else by their anomaly maps.
    """
    metric, words, digits = (
        ("psnr", "restores best: PSNR", 1) if restored else ("pixel_auroc", "finds the defects best: pixel AUROC", 3)
    )
    found = {name: values.get(f"standard/{metric}", nan) for name, values in scores.items()}
    best, *others = sorted((name for name in found if not isnan(found[name])), key=found.get, reverse=True) or [""]
    if not others:
        return ""
    rest = ", ".join(f"{label(name)} {found[name]:.{digits}f}" for name in others)
    return f"{label(best)} {words} {found[best]:.{digits}f} ({rest})"


def long_form(
    scores: dict[str, dict[str, float]], cfg: DictConfig, category: str, maps: dict[str, str]
) -> pd.DataFrame:
    """Table of scores with one row per number and the columns `SCORE_COLUMNS`. Tables of several runs can be joined.

    Args:
        scores: metrics of each method by name, ``<protocol>/<metric>`` or ``<metric>``.
        cfg: configuration of the run.
        category: category of the dataset.
        maps: name of each method's anomaly map.
    """
    choices = HydraConfig.get().runtime.choices
    test_set = (choices.dataset, category, choices.get("corruption") or "")
    rows = []
    for method, values in scores.items():
        for name, value in values.items():
            protocol, _, metric = name.rpartition("/")
            rows.append((*test_set, method, protocol, metric, cfg.seed, value, _scored_map(name, maps[method])))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS, dtype=object)  # dtype object, because integers must stay integers


def _scored_map(name: str, own: str) -> str:
    """The anomaly map that a metric is of: the method's own, the paper's, or "" for a metric of no map."""
    protocol, _, metric = name.rpartition("/")
    if protocol == "reference" and metric.startswith(("auroc", "dice")):
        return "paper"
    if protocol != "standard" or metric.startswith(OF_RESTORATION):
        return ""
    return "paper" if metric.startswith("paper_map_") else own


def write_page(folder: Path, title: str, scores: dict[str, dict[str, float]]) -> Path:
    """Write the report page of a run.

    Args:
        folder: folder of the run with the files per_image.csv, environment.json, config.yaml and the results.
        title: heading of the page.
        scores: metrics of each method by name.

    Returns:
        Path of the page.
    """
    environment = run_files.read_file(folder / "environment.json")
    environment.pop("methods", None)  # the page has a table of them
    methods = method_results(folder, scores)
    return write_report(folder, title, methods, (folder / "config.yaml").read_text(), environment=environment)


def method_results(folder: Path, scores: dict[str, dict[str, float]]) -> list[MethodResults]:
    """Results of all methods of a run.

    Args:
        folder: folder of the run with the files per_image.csv, environment.json and the results.
        scores: metrics of each method by name.
    """
    images = pd.read_csv(folder / "per_image.csv", dtype=str, keep_default_na=False)
    numbers = images.columns.difference(TEXT_COLUMNS)
    images[numbers] = images[numbers].replace("", "nan").astype(float)
    settings = run_files.read_file(folder / "environment.json").get("methods", {})  # older versions wrote none
    return [
        MethodResults(
            method,
            {name.removeprefix("standard/"): nan if value is None else value for name, value in values.items()},
            images[images["method"] == method],
            folder / "results" / method,
            settings.get(method, {}),
        )
        for method, values in scores.items()
    ]
