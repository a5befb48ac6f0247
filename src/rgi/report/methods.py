"""What a report is made from: a method's scores, its numbers per image, and the arrays on disk."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rgi.errors import InputError
from rgi.evaluation.results import load_result

METHODS = {
    "anogan": "AnoGAN",
    "yeh": "Yeh et al.",
    "yeh_masked": "Yeh et al., mask given",
    "pan": "Pan et al.",
    "pan_masked": "Pan et al., mask given",
    "rgi": "RGI",
    "r_rgi": "R-RGI",
    "mean_image": "Mean image",
    "pca": "PCA",
    "robust_pca": "Robust PCA",
    "autoencoder": "Autoencoder",
    "padim": "PaDiM",
    "patchcore": "PatchCore",
}


@dataclass(frozen=True)
class Run:
    """One method's results on a set of images.

    Attributes:
        method: its name in the configuration ("r_rgi").
        metrics: scores of the whole set, NaN where not defined; ``<metric>_error`` bounds how far ``<metric>`` is
            from its exact value.
        rows: one per image: name ("<kind>/<stem>" or "<stem>"), category, kind, and as far as they are known score,
            iterations, seconds, pixel_auroc (NaN without truth), psnr and ssim.
        results: folder that holds ``<name>.npz`` for every row.
    """

    method: str
    metrics: dict[str, float]
    rows: list[dict[str, Any]]
    results: Path

    @property
    def label(self) -> str:
        return label(self.method)


def label(method: str) -> str:
    """What people call a method of the configuration."""
    name = method.removeprefix("reference_")
    known = METHODS.get(name, name.replace("_", " "))
    return known if name == method else f"{known} (as published)"


def value(row: dict[str, Any], key: str) -> float:
    """A number of a row, NaN where it is absent."""
    found = row.get(key)
    return math.nan if found is None else float(found)


def check(runs: list[Run]) -> None:
    """Refuse what cannot be reported; see `rgi.report.page.write_report`."""
    if not runs:
        raise InputError("report: no runs; give at least one method's results")
    expected = {row["name"] for row in runs[-1].rows}
    for run in runs:
        names = [row["name"] for row in run.rows]
        if not names:
            raise InputError(f"report: {run.method} has no images; run it on at least one")
        different = sorted(expected.symmetric_difference(names))
        if different:
            raise InputError(
                f"report: {run.method} and {runs[-1].method} are not over the same images ({different[0]} is in one "
                "only); report runs over the same images"
            )
        if len(expected) < len(names):
            raise InputError(f"report: {run.method} has images of the same name; names must be unique")
    for name in sorted(expected):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"report: the image name {name} leads out of the report's folder; rename the image")


def scored(run: Run, names: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Every anomaly map (H,W) and every history (T,) of a run."""
    files = [load_result(run.results, name, ("observed", "map"), ("history",)) for name in names]
    return [file["map"] for file in files], [file["history"] for file in files if "history" in file]
