"""python experiments/anomaly/maps.py RUN...: compare the anomaly maps of finished inversions.

The script reads finished runs with ``map.kind=combined`` and skips other runs. It computes the metrics of all kinds of
anomaly maps with different smoothing, without another inversion. It writes maps.csv.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from rgi.app.options import generator, make
from rgi.data.protocol import evenly_spaced
from rgi.evaluation.clean_images import clean_statistics, extractor, padim_map
from rgi.evaluation.results import Result, load_result
from rgi.inversion.maps import FeatureMap
from rgi.metrics.standard import PixelCurve
from rgi.pixels import luminance, smooth

HERE = Path(__file__).resolve().parent
SIGMAS = (0, 1, 2, 4)  # pixels
METRICS = ("pixel_auroc", "aupro", "pixel_ap")
COLUMNS = ("dataset", "category", "corruption", "method", "kind", "sigma", "metric", "seed", "value")


def main() -> None:
    """Compute the metrics of the runs from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    rows = []
    runs = [run for run in parser.parse_args().runs if (run / "clean").is_dir() and (run / "metrics.json").exists()]
    feature_maps: dict[tuple[str, ...], FeatureMap] = {}  # methods on the same test set share a feature map
    for run in tqdm(runs, unit="run"):
        rows += score_maps(run, feature_maps)
        pd.DataFrame(rows, columns=COLUMNS).to_csv(HERE / "maps.csv", index=False)


def score_maps(run: Path, feature_maps: dict[tuple[str, ...], FeatureMap]) -> list[tuple]:
    """Metrics of all anomaly maps of a run.

    Args:
        run: folder of the run.
        feature_maps: feature maps by dataset, category, corruption and seed; the function adds the feature map of the
            run.

    Returns:
        Rows of maps.csv with the columns `COLUMNS`.
    """
    cfg = OmegaConf.load(run / "config.yaml")
    (results,) = (run / "results").iterdir()
    corruption = "" if cfg.get("corruption") is None else cfg.corruption._target_.rpartition(".")[2].lower()
    images = make(cfg, "dataset")
    identity = (images.name, images.category, corruption, results.name)
    inversions, device = load_results(run / "clean" / results.name), torch.device("cpu")
    key = (*identity[:3], cfg.seed)
    if key not in feature_maps:
        training = images.train()
        chosen = evenly_spaced(len(training), len(inversions))
        feature_maps[key] = padim_map(
            extractor(generator(cfg, images), cfg.map.features), training, chosen, cfg.seed, device
        )
    clean = clean_statistics(inversions, feature_maps[key], device)
    tests = load_results(results)
    observed, restored, mask, truth = (
        torch.stack([torch.from_numpy(each[name]) for each in tests])
        for name in ("observed", "restored", "mask", "truth")
    )
    residual = luminance(observed - restored)
    maps = {("features", 0): clean.feature_map(observed)}
    for sigma in SIGMAS:
        if mask.any():
            maps["mask", sigma] = smooth(luminance(mask), sigma)
        maps["residual", sigma] = smooth(residual, sigma)
        maps["normalised", sigma] = clean.normalised(residual, sigma)
        maps["combined", sigma] = clean.combined(observed, residual, sigma)
    rows = []
    for (kind, sigma), each in maps.items():
        curve = PixelCurve()
        curve.update(each, truth)
        scores = curve.compute()
        rows += [(*identity, kind, sigma, metric, cfg.seed, f"{float(scores[metric]):.4f}") for metric in METRICS]
    return rows


def load_results(folder: Path) -> list[Result]:
    """Load the results of all images in a folder, sorted by name."""
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.npz"))
    return [load_result(folder, name) for name in names]


if __name__ == "__main__":
    main()
