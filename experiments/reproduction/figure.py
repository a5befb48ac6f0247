"""python experiments/reproduction/figure.py FOLDER: draw tiles of a benchmark, and the convergence.

FOLDER is the folder of the benchmark reference64_anomaly. For each kind of defect, figure.png has the tile with the
median pixel AUROC of the published R-RGI. convergence.png shows the files that departures.py has written.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from rgi.app.run_files import read_file
from rgi.evaluation.results import load_result

HERE = Path(__file__).resolve().parent
MIDDLE = "reference_r_rgi"  # the method whose median tile is shown
METHODS = {  # folder of the results: heading
    "reference_anogan": "AnoGAN, published",
    "reference_rgi": "RGI, published",
    MIDDLE: "R-RGI, published",
    "rgi": "RGI, ours",
    "r_rgi": "R-RGI, ours",
}


def rows(folder: Path) -> dict[str, dict[str, Path]]:
    """The results of each method with seed 0 by kind of defect, "real" for the test images of the dataset."""
    found: dict[str, dict[str, Path]] = {}
    for metrics in sorted(folder.glob("rows/*/metrics.json")):
        cfg = OmegaConf.load(metrics.with_name("config.yaml"))
        if cfg.seed != 0:
            continue
        kind = "real" if cfg.get("corruption") is None else f"painted {cfg.corruption.kinds[0]}"
        for method in read_file(metrics):
            found.setdefault(kind, {})[method] = metrics.parent / "results" / method
    return found


def median_image(results: Path) -> str:
    """The name of the defective image with the median pixel AUROC."""
    images = pd.read_csv(results.parents[1] / "per_image.csv", dtype={"name": str}).dropna(subset="pixel_auroc")
    return images.sort_values("pixel_auroc", kind="stable")["name"].iloc[len(images) // 2]


def tiles(folder: Path) -> None:
    """Draw one tile of each kind: the picture, its true mask, and each method's restored picture and map."""
    kinds = rows(folder)
    columns = 2 + 2 * len(METHODS)
    figure, axes = plt.subplots(len(kinds), columns, figsize=(1.25 * columns, 1.3 * len(kinds)), layout="constrained")
    for row, (kind, methods) in enumerate(kinds.items()):
        name = median_image(methods[MIDDLE])
        first = load_result(methods[MIDDLE], name)
        axes[row, 0].set_ylabel(kind)
        pictures = [(first["observed"][0], "picture"), (first["truth"].squeeze() * 2.0 - 1, "true mask")]
        for method, title in METHODS.items():
            result = load_result(methods[method], name)
            heat = result["map"] / np.quantile(result["map"], 0.999).clip(1e-6)
            pictures += [(result["restored"][0], title), (2 * heat - 1, "map")]
        for axis, (image, title) in zip(axes[row], pictures, strict=True):
            axis.imshow(image, cmap="gray", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(title, size=7)
    figure.savefig(HERE / "figure.png", dpi=120)
    plt.close(figure)


def convergence() -> None:
    """Draw the errors of images and masks over the steps of the published procedure."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for method, title in (("rgi", "RGI"), ("rrgi", "R-RGI")):
        course = pd.read_csv(HERE / f"convergence_{method}.csv")
        axes[0].plot(course["step"], course["psnr"], label=f"{title}, whole image")
        axes[0].plot(course["step"], course["psnr_hole"], "--", label=f"{title}, hole")
        axes[1].plot(course["step"], course["mask_error"], label=title)
    axes[0].set(xlabel="step", ylabel="PSNR in dB")
    axes[1].set(xlabel="step", ylabel="mean of |M - true mask|")
    for axis in axes:
        axis.legend()
    figure.savefig(HERE / "convergence.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    tiles(Path(sys.argv[1]))
    convergence()
