"""What a report is made from: a method's scores, its numbers per image, and the arrays on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

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
class MethodResults:
    """One method's results on a set of images.

    Attributes:
        method: its name in the configuration ("r_rgi").
        metrics: scores of the whole set, NaN where not defined; ``<metric>_error`` bounds how far ``<metric>`` is
            from its exact value.
        images: a row per image. Its columns are name ("<kind>/<stem>" or "<stem>"), category, kind, and as far as they
            are known score, iterations, seconds, pixel_auroc (NaN without truth), psnr and ssim.
        results: folder that holds ``<name>.npz`` for every image.
    """

    method: str
    metrics: dict[str, float]
    images: pd.DataFrame
    results: Path

    @property
    def label(self) -> str:
        return label(self.method)


def label(method: str) -> str:
    """What people call a method of the configuration."""
    name = method.removeprefix("reference_")
    known = METHODS.get(name, name.replace("_", " "))
    return known if name == method else f"{known} (as published)"


def check(methods: list[MethodResults]) -> None:
    """Refuse what cannot be reported; see `rgi.report.page.write_report`."""
    if not methods:
        raise InputError("report: no runs; give at least one method's results")
    for one in methods:
        if one.images.empty:
            raise InputError(f"report: {one.method} has no images; run it on at least one")
    last = methods[-1]
    expected = set(last.images["name"])
    for one in methods:
        different = sorted(expected.symmetric_difference(one.images["name"]))
        if different:
            raise InputError(
                f"report: {one.method} and {last.method} are not over the same images ({different[0]} is in one "
                "only); report runs over the same images"
            )
        if one.images["name"].duplicated().any():
            raise InputError(f"report: {one.method} has images of the same name; names must be unique")
    for name in sorted(expected):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"report: the image name {name} leads out of the report's folder; rename the image")


def maps_and_histories(method: MethodResults, names: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Every anomaly map (H,W) and every history (T,) of a method."""
    files = [load_result(method.results, name, ("observed", "map"), ("history",)) for name in names]
    return [file["map"] for file in files], [file["history"] for file in files if "history" in file]
