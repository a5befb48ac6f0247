"""python experiments/anomaly/maps.py RUN... [--table FILE]: compare the anomaly maps of finished inversions.

The script reads finished runs with ``map.kind=combined`` and skips other runs. It computes the metrics of all kinds of
anomaly maps with different smoothing and weights, without another inversion. It also scores the run's held-out clean
images with painted defects: their pixel AUROC needs no labels of test images. It writes maps.csv, or another FILE.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from omegaconf import OmegaConf
from torch import Tensor
from tqdm import tqdm

from rgi.app.options import generator, make
from rgi.baselines.padim import PaDiM
from rgi.baselines.patchcore import PatchCore
from rgi.data.protocol import ImageSet, evenly_spaced
from rgi.evaluation.clean_images import clean_statistics
from rgi.evaluation.joint_map import FEATURE_PARTS, extractor, joint_map
from rgi.evaluation.results import Result, load_result
from rgi.generators.store import GAN
from rgi.metrics.standard import ImageAUROC, PixelCurve
from rgi.pixels import luminance, smooth

HERE = Path(__file__).resolve().parent
SIGMAS = (0, 1, 2, 4)  # pixels
FEATURES = {  # name of a feature map: features, and the weights of its parts
    "critic": ("critic", FEATURE_PARTS["critic"]),
    "imagenet": ("imagenet", FEATURE_PARTS["imagenet"]),
    "imagenet, padim": ("imagenet", {PaDiM: 1.0}),
    "imagenet, patchcore": ("imagenet", {PatchCore: 1.0}),
}
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0)  # of the feature map in a combination with sigma 1
METRICS = ("pixel_auroc", "aupro", "pixel_ap")
BATCH = 32  # images per prediction
COLUMNS = (
    "dataset",
    "category",
    "corruption",
    "method",
    "kind",
    "features",
    "weight",
    "sigma",
    "metric",
    "seed",
    "value",
)
Key = tuple[str, str, float | str, int]  # kind, features, weight and sigma of a map


def main() -> None:
    """Compute the metrics of the runs from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--table", type=Path, default=HERE / "maps.csv")
    given = parser.parse_args()
    runs = [run for run in given.runs if (run / "painted").is_dir() and (run / "metrics.json").exists()]
    rows: list[tuple] = []
    cache: dict[tuple, dict[str, Tensor]] = {}
    for run in tqdm(runs, unit="run"):
        rows += score_maps(run, cache)
        pd.DataFrame(rows, columns=COLUMNS).to_csv(given.table, index=False)


def score_maps(run: Path, cache: dict[tuple, dict[str, Tensor]]) -> list[tuple]:
    """Metrics of all anomaly maps of a run.

    Args:
        run: folder of the run.
        cache: feature maps of clean, test and painted images by test set and seed, which methods share; the function
            adds those of the run.

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
        seen = {"test": observed, "painted": stacked(painted, "observed")}
        cache[key] = feature_maps(images, generator(cfg, images), clean, seen, cfg.seed)
    of_tests, of_painted = (
        maps(cache[key], name, clean, each) for name, each in {"test": tests, "painted": painted}.items()
    )
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


def feature_maps(
    images: ImageSet, gan: GAN, clean: list[Result], observed: dict[str, Tensor], seed: int
) -> dict[str, Tensor]:
    """Feature maps of the clean images and of observed images (B,C,H,W), by "clean <name>" and "<key> <name>"."""
    training, found = images.train(), {}
    chosen = evenly_spaced(len(training), len(clean))
    for name, (features, parts) in FEATURES.items():
        score = joint_map(extractor(gan, features), parts, training, chosen, seed, torch.device("cpu"))
        for images_of, part in ({"clean": stacked(clean, "observed")} | observed).items():
            found[f"{images_of} {name}"] = torch.cat([score(few) for few in part.split(BATCH)])
    return found


def maps(
    found: dict[str, Tensor], images_of: str, clean: list[Result], results: list[Result]
) -> Iterator[tuple[Key, Tensor]]:
    """Yield all maps (B,H,W) of some images.

    Args:
        found: see `feature_maps`.
        images_of: key of the images there.
        clean: results of the clean images.
        results: results of the images.
    """
    statistics = clean_statistics(clean, None, torch.device("cpu"))
    mask = luminance(stacked(results, "mask"))
    residual = luminance(stacked(results, "observed") - stacked(results, "restored"))
    for sigma in SIGMAS:
        if mask.any():
            yield ("mask", "", "", sigma), smooth(mask, sigma)
        yield ("residual", "", "", sigma), smooth(residual, sigma)
        yield ("normalised", "", "", sigma), statistics.normalised(residual, sigma)
        for name in FEATURES:
            yield ("features", name, "", sigma), smooth(found[f"{images_of} {name}"], sigma)
    for name in FEATURES:
        features = standardised(found[f"{images_of} {name}"], found[f"clean {name}"])
        for kind, part in (
            ("combined", standardised(residual, statistics.residuals)),
            ("normalised and features", statistics.z_scores(residual, 1)),
        ):
            for weight in WEIGHTS:
                total = part + weight * features
                yield (kind, name, weight, 1), total - total.amin()


def standardised(scores: Tensor, clean: Tensor) -> Tensor:
    """Scores (B,H,W) with sigma 1, in standard deviations of the clean scores (N,H,W) above their mean."""
    clean = smooth(clean, 1)
    return (smooth(scores, 1) - clean.mean()) / clean.std()


def stacked(results: list[Result], name: str) -> Tensor:
    """One array of all results as a tensor (B,...)."""
    return torch.stack([torch.from_numpy(each[name]) for each in results])


def load_results(folder: Path) -> list[Result]:
    """Load the results of all images in a folder, sorted by name."""
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.npz"))
    return [load_result(folder, name) for name in names]


if __name__ == "__main__":
    main()
