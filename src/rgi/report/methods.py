"""Results of a method: scores of the test set, numbers per image, and arrays on disk."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from rgi.errors import InputError

METHOD_LABELS = {
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
    "padim_imagenet": "PaDiM, ImageNet",
    "patchcore_imagenet": "PatchCore, ImageNet",
}


@dataclass(frozen=True)
class MethodResults:
    """Results of one method on a set of images.

    Attributes:
        method: name of the method in the configuration, for example "r_rgi".
        metrics: metrics of the whole set, NaN if not defined. ``<metric>_error`` is a bound on the difference between
            ``<metric>`` and its exact value.
        images: one row per image. The column ``name`` is required: "<kind>/<stem>" or "<stem>". Optional columns are
            category, kind, score, iterations, seconds, pixel_auroc (NaN without a true mask), psnr and ssim.
        results: folder with the file ``<name>.npz`` of each image.
        settings: what the method ran with, by name; for example the number that stands for ``mask_penalty: auto``.
        run: name of the run if the report has the same method of several runs, else "".
    """

    method: str
    metrics: dict[str, float]
    images: pd.DataFrame
    results: Path
    settings: dict[str, Any] = field(default_factory=dict)
    run: str = ""

    @property
    def label(self) -> str:
        """Name of the method on the page."""
        return label(self.method) + (f" ({self.run})" if self.run else "")


def label(method: str) -> str:
    """Name of a method on the page and in tables, for example "R-RGI" for the configuration's "r_rgi".

    Methods that are not in `METHOD_LABELS` keep their name, with spaces for underscores.
    """
    name = method.removeprefix("reference_")
    text = METHOD_LABELS.get(name, name.replace("_", " "))
    return text if name == method else f"{text} (as published)"


def check_methods(methods: list[MethodResults]) -> None:
    """Check that a report can be made of the methods.

    Raises:
        InputError: there is no method, a method has no images, the methods have no image in common, two images of a
            method have the same name, or a name leads out of the folder of the report.
    """
    if not methods:
        raise InputError("report: no runs; give at least one method's results")
    for one in methods:
        if one.images.empty:
            raise InputError(f"report: {one.method} has no images; run it on at least one")
        if one.images["name"].duplicated().any():
            raise InputError(f"report: {one.method} has images of the same name; names must be unique")
    first, shared = methods[0], set(methods[0].images["name"])
    for one in methods[1:]:
        shared &= set(one.images["name"])
        if not shared:
            raise InputError(
                f"report: {one.label} of {one.results} shares no image with {first.label} of {first.results}; name "
                "runs over the same images"
            )
    for name in sorted(shared):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"report: the image name {name} leads out of the report's folder; rename the image")


def with_shared_images(methods: list[MethodResults]) -> tuple[list[MethodResults], bool]:
    """The methods with the rows of the images that all of them have, in the order of the last method.

    Returns:
        The methods, and whether all had the same images before.
    """
    shared = set.intersection(*(set(one.images["name"]) for one in methods))
    names = [name for name in methods[-1].images["name"] if name in shared]
    kept = [replace(one, images=one.images.set_index("name", drop=False).loc[names]) for one in methods]
    return kept, all(len(one.images) == len(names) for one in methods)
