"""python experiments/anomaly/maps.py RUN... [--table FILE]: compare the anomaly maps of finished inversions.

The script reads finished runs with ``map.kind=combined`` and skips other runs. It computes the metrics of all kinds of
anomaly maps with different smoothing, features and weights, without another inversion. It also scores the run's
held-out clean images with painted defects: their pixel AUROC needs no labels of test images. It writes maps.csv, or
another FILE.
"""

import argparse
import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import relu
from tqdm import tqdm

from rgi.app.options import generator, make
from rgi.data.protocol import ImageSet, evenly_spaced
from rgi.evaluation import combined_map
from rgi.evaluation.combined_map import FEATURE_PARTS, unfitted_baselines
from rgi.evaluation.results import Result, load_result
from rgi.generators.store import GAN
from rgi.inversion.maps import CleanStatistics, Surprisal
from rgi.metrics.curves import auroc, levels
from rgi.metrics.standard import ImageAUROC, PixelCurve
from rgi.pixels import luminance, smooth

HERE = Path(__file__).resolve().parent
SIGMAS = (0, 1, 2, 4)  # pixels
PARTS = {name: part.weight for name, part in FEATURE_PARTS["imagenet"].items()}
COMBINATIONS = {  # name of a combination: weights of the baselines' maps; that of the residual is 1
    "imagenet": PARTS,
    "imagenet, critic 0": PARTS | {"PaDiM on the critic": 0.0},
    "imagenet, critic 0.5": PARTS | {"PaDiM on the critic": 0.5},
    "imagenet, padim 1": PARTS | {"PaDiM": 1.0},
    "padim": {"PaDiM": 1.0},
    "patchcore": {"PatchCore": 1.0},
    "critic": {"PaDiM on the critic": 1.0},
}
SHARES = (1.0, 0.1, 0.05)  # the residual counts where at most this share of the clean pixels has such a residual
POWERS = (0, 1, 2)  # of the error on painted defects by which the weights are divided
# Weights of the sum of standardised maps that the program scored until 486c16e.
LINEAR = {"PaDiM": 1.0, "PatchCore": 2.0}
FEATURE_WEIGHT = 3.0  # of its features; that of the residual is 1
METRICS = ("pixel_auroc", "aupro", "pixel_ap")
BATCH = 32  # images per prediction
COLUMNS = (
    "dataset",
    "category",
    "corruption",
    "method",
    "kind",
    "features",
    "share",
    "power",
    "sigma",
    "metric",
    "seed",
    "value",
)
Key = tuple[str, str, float | str, int | str, int]  # kind, features, share, power and sigma of a map
Maps = dict[str, Tensor]  # by "<clean, test or painted> <name of a map>"


def main() -> None:
    """Compute the metrics of the runs from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--table", type=Path, default=HERE / "maps.csv")
    given = parser.parse_args()
    runs = [run for run in given.runs if (run / "painted").is_dir() and (run / "metrics.json").exists()]
    rows: list[tuple] = []
    cache: dict[tuple, Maps] = {}
    for run in tqdm(runs, unit="run"):
        rows += score_maps(run, cache)
        pd.DataFrame(rows, columns=COLUMNS).to_csv(given.table, index=False)


def score_maps(run: Path, cache: dict[tuple, Maps]) -> list[tuple]:
    """Metrics of all anomaly maps of a run.

    Args:
        run: folder of the run.
        cache: maps of the baselines by test set and seed, which methods share; the function adds those of the run.

    Returns:
        Rows of maps.csv with the columns `COLUMNS`.
    """
    cfg = OmegaConf.load(run / "config.yaml")
    (results,) = (run / "results").iterdir()
    clean, tests, painted = (load_results(run / folder / results.name) for folder in ("clean", "results", "painted"))
    dataset = cfg.dataset._target_.rpartition(".")[0].rpartition(".")[2]
    key = (dataset, tests[0]["category"].item(), "", cfg.seed)
    observed, truth, painted_truth = stacked(tests, "observed"), stacked(tests, "truth"), stacked(painted, "truth")
    defective, images = stacked(tests, "defective"), make(cfg, "dataset")
    if key not in cache:
        seen = {"clean": stacked(clean, "observed"), "test": observed, "painted": stacked(painted, "observed")}
        cache[key] = feature_maps(images, generator(cfg, images), len(clean), seen, cfg.seed)
    found = cache[key] | {
        f"{of} {name}": each
        for of, part in {"clean": clean, "test": tests, "painted": painted}.items()
        for name, each in maps_of_inversion(part, clean).items()
    }
    errors = errors_on_painted(found, painted_truth)
    of_tests, of_painted = (maps(found, images_of, errors) for images_of in ("test", "painted"))
    rows = []
    curve, painted_curve, image_auroc = metrics = PixelCurve(), PixelCurve(), ImageAUROC()
    for (kind, scores), (_, painted_scores) in zip(of_tests, of_painted, strict=True):
        for each in metrics:  # new objects would not be freed in time, see `rgi.evaluation.base.TestModule.teardown`
            each.reset()
        curve.update(scores, truth)
        painted_curve.update(painted_scores, painted_truth)
        image_auroc.update(scores.amax((1, 2)), defective)
        values = {name: curve.compute()[name] for name in METRICS} | {
            "image_auroc": image_auroc.compute(),
            "painted_pixel_auroc": painted_curve.compute()["pixel_auroc"],
        }
        rows += [(*key[:3], results.name, *kind, name, cfg.seed, f"{float(values[name]):.4f}") for name in values]
    return rows


def feature_maps(images: ImageSet, gan: GAN, held_out: int, observed: Maps, seed: int) -> Maps:
    """Maps (B,H,W) of all baselines on images (B,C,H,W); this number of clean images stays out of the fits."""
    training, baselines = images.train(), unfitted_baselines(gan, "imagenet", seed)
    chosen = evenly_spaced(len(training), held_out)
    fitted = combined_map.feature_maps(baselines, training, chosen, torch.device("cpu"))
    return {
        f"{of} {each.name}": torch.cat([each(few) for few in part.split(BATCH)])
        for each, (of, part) in product(fitted, observed.items())
    }


def maps_of_inversion(results: list[Result], clean: list[Result]) -> Maps:
    """Mask and residual (B,H,W) of images, and their deviations from those of clean images at the same position."""
    residual = residuals_of(results)
    statistics = CleanStatistics(stacked(clean, "observed"), residuals_of(clean))
    deviations = {f"normalised {sigma}": statistics.normalised(residual, sigma) for sigma in SIGMAS}
    return {"mask": luminance(stacked(results, "mask")), "residual": residual, **deviations}


def residuals_of(results: list[Result]) -> Tensor:
    """Residual maps (B,H,W) without smoothing."""
    return luminance(stacked(results, "observed") - stacked(results, "restored"))


def errors_on_painted(found: Maps, truth: Tensor) -> dict[str, float]:
    """1 - pixel AUROC of painted defects, by the name of a map."""
    painted = {name.removeprefix("painted "): each for name, each in found.items() if name.startswith("painted ")}
    return {name: 1 - auroc(*levels(smooth(each, 1), truth)[1:]).item() for name, each in painted.items()}


def maps(found: Maps, of: str, errors: dict[str, float]) -> Iterator[tuple[Key, Tensor]]:
    """Yield all maps (B,H,W) of some images.

    Args:
        found: maps of the inversion and of the baselines.
        of: "test" or "painted".
        errors: see `errors_on_painted`.
    """
    baselines = [name for name in PARTS if f"{of} {name}" in found]
    for sigma in SIGMAS:
        if found[f"{of} mask"].any():
            yield ("mask", "", "", "", sigma), smooth(found[f"{of} mask"], sigma)
        yield ("residual", "", "", "", sigma), smooth(found[f"{of} residual"], sigma)
        yield ("normalised", "", "", "", sigma), found[f"{of} normalised {sigma}"]
        for name in baselines:
            yield ("features", name, "", "", sigma), smooth(found[f"{of} {name}"], sigma)
    clean, scores = (
        {name: smooth(found[f"{part} {name}"], 1) for name in ("residual", *baselines)} for part in ("clean", of)
    )
    surprisals = {name: Surprisal(each.flatten())(scores[name]) for name, each in clean.items()}
    for (combination, weights), share, power in product(COMBINATIONS.items(), SHARES, POWERS):
        total = relu(surprisals["residual"] + math.log(share)) / errors["residual"] ** power
        for name in (each for each in baselines if each in weights):
            total = total + weights[name] / errors[name] ** power * surprisals[name]
        yield ("combined", combination, share, power, 1), total
    usual, seen = (
        sum(weight * in_deviations(clean[name], each[name]) for name, weight in LINEAR.items())
        for each in (clean, scores)
    )
    total = in_deviations(clean["residual"], scores["residual"]) + FEATURE_WEIGHT * in_deviations(usual, seen)
    yield ("linear", "imagenet", "", "", 1), total - total.amin()


def in_deviations(clean: Tensor, scores: Tensor) -> Tensor:
    """Scores in standard deviations of the clean scores above their mean."""
    return (scores - clean.mean()) / clean.std()


def stacked(results: list[Result], name: str) -> Tensor:
    """One array of all results as a tensor (B,...)."""
    return torch.stack([torch.from_numpy(each[name]) for each in results])


def load_results(folder: Path) -> list[Result]:
    """Load the results of all images in a folder, sorted by name."""
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.npz"))
    return [load_result(folder, name) for name in names]


if __name__ == "__main__":
    main()
