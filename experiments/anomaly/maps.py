"""python experiments/anomaly/maps.py RUN...: one inversion, many anomaly maps.

Reads finished runs with ``map.kind=combined``, passes over all others, and scores every kind of map at several
smoothings, without inverting anything anew. Writes maps.csv.
"""

import argparse
import csv
from pathlib import Path

import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from rgi.clean import Opinion, padim_opinion, usual
from rgi.data.module import spread
from rgi.metrics.standard import PixelCurve
from rgi.modules.inversion import load
from rgi.options import generator, make
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
    opinions: dict[tuple[str, ...], Opinion] = {}  # which the methods of a set share
    for run in tqdm(runs, unit="run"):
        rows += scored(run, opinions)
        with (HERE / "maps.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


def scored(run: Path, opinions: dict[tuple[str, ...], Opinion]) -> list[tuple]:
    """The rows of one run; its second opinion is left for others of the same set and seed."""
    cfg = OmegaConf.load(run / "config.yaml")
    (results,) = (run / "results").iterdir()
    corruption = "" if cfg.get("corruption") is None else cfg.corruption._target_.rpartition(".")[2].lower()
    images = make(cfg, "dataset")
    where = (images.name, images.category, corruption, results.name)
    known, device = [load(file) for file in sorted((run / "clean" / results.name).glob("*.npz"))], torch.device("cpu")
    key = (*where[:3], cfg.seed)
    if key not in opinions:
        training = images.train()
        chosen = spread(len(training), len(known))
        opinions[key] = padim_opinion(generator(cfg, images), training, chosen, cfg.seed, device)
    clean = usual(known, opinions[key], device)
    found = [load(file) for file in sorted(results.rglob("*.npz"))]
    observed, restored, mask, truth = (
        torch.stack([torch.from_numpy(each[name]) for each in found])
        for name in ("observed", "restored", "mask", "truth")
    )
    residual = luminance(observed - restored)
    maps = {("features", 0): clean.opinion(observed)}
    for sigma in SIGMAS:
        if mask.any():
            maps["mask", sigma] = smooth(luminance(mask), sigma)
        maps["residual", sigma] = smooth(residual, sigma)
        maps["normalised", sigma] = clean.judge(observed, residual, sigma, second=False)
        maps["combined", sigma] = clean.judge(observed, residual, sigma, second=True)
    rows = []
    for (kind, sigma), each in maps.items():
        curve = PixelCurve()
        curve.update(each, truth)
        scores = curve.compute()
        rows += [(*where, kind, sigma, metric, cfg.seed, f"{float(scores[metric]):.4f}") for metric in METRICS]
    return rows


if __name__ == "__main__":
    main()
