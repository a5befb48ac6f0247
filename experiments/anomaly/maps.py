"""python experiments/anomaly/maps.py RUN...: one inversion, many anomaly maps.

Reads finished runs with ``map.kind=combined``, passes over all others, and scores every kind of map at several
smoothings, without inverting anything anew. Writes maps.csv.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from rgi.app.options import generator, make
from rgi.data.protocol import evenly_spaced
from rgi.evaluation.clean_images import clean_statistics, padim_map
from rgi.evaluation.results import Result, load_result
from rgi.inversion.maps import FeatureMap
from rgi.metrics.standard import PixelCurve
from rgi.pixels import luminance, smooth

HERE = Path(__file__).resolve().parent
SIGMAS = (0, 1, 2, 4)
METRICS = ("pixel_auroc", "aupro", "pixel_ap")
COLUMNS = ("dataset", "category", "corruption", "method", "kind", "sigma", "metric", "seed", "value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    rows = []
    runs = [run for run in parser.parse_args().runs if (run / "clean").is_dir() and (run / "metrics.json").exists()]
    feature_maps: dict[tuple[str, ...], FeatureMap] = {}  # the methods of a set share one
    for run in tqdm(runs, unit="run"):
        rows += scored(run, feature_maps)
        pd.DataFrame(rows, columns=COLUMNS).to_csv(HERE / "maps.csv", index=False)


def scored(run: Path, feature_maps: dict[tuple[str, ...], FeatureMap]) -> list[tuple]:
    """The rows of one run; its feature map is kept for other runs on the same set and seed."""
    cfg = OmegaConf.load(run / "config.yaml")
    (results,) = (run / "results").iterdir()
    corruption = "" if cfg.get("corruption") is None else cfg.corruption._target_.rpartition(".")[2].lower()
    images = make(cfg, "dataset")
    where = (images.name, images.category, corruption, results.name)
    known, device = load_all(run / "clean" / results.name), torch.device("cpu")
    key = (*where[:3], cfg.seed)
    if key not in feature_maps:
        training = images.train()
        chosen = evenly_spaced(len(training), len(known))
        feature_maps[key] = padim_map(generator(cfg, images), training, chosen, cfg.seed, device)
    clean = clean_statistics(known, feature_maps[key], device)
    found = load_all(results)
    observed, restored, mask, truth = (
        torch.stack([torch.from_numpy(each[name]) for each in found])
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
        rows += [(*where, kind, sigma, metric, cfg.seed, f"{float(scores[metric]):.4f}") for metric in METRICS]
    return rows


def load_all(folder: Path) -> list[Result]:
    """The results of all images of a folder."""
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.npz"))
    return [load_result(folder, name) for name in names]


if __name__ == "__main__":
    main()
