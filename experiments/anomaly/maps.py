"""python experiments/anomaly/maps.py RUN...: one inversion, many anomaly maps.

Reads finished runs with ``map.kind=combined``, passes over all others, and scores every kind of map at several
smoothings, without inverting anything anew. Writes maps.csv.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor
from tqdm import tqdm

from rgi.clean import OPINION_IMAGES, usual
from rgi.data.module import ImageSet, spread
from rgi.inversion.maps import CleanStatistics, luminance, smooth
from rgi.metrics.standard import PixelCurve
from rgi.modules.inversion import load
from rgi.options import generator, make

HERE = Path(__file__).resolve().parent
SIGMAS = (0, 1, 2, 4)
METRICS = ("pixel_auroc", "aupro", "pixel_ap")
COLUMNS = ("dataset", "category", "corruption", "method", "kind", "sigma", "metric", "seed", "value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    rows = []
    runs = [run for run in parser.parse_args().runs if (run / "clean").is_dir() and (run / "metrics.json").exists()]
    opinions: dict[tuple[str, ...], Callable[[Tensor], Tensor]] = {}  # which the methods of a set share
    for run in tqdm(runs, unit="run"):
        rows += scored(run, opinions)
        with (HERE / "maps.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


def scored(run: Path, opinions: dict[tuple[str, ...], Callable[[Tensor], Tensor]]) -> list[tuple]:
    """The rows of one run; its second opinion is left for others of the same set and seed."""
    cfg = OmegaConf.load(run / "config.yaml")
    (results,) = (run / "results").iterdir()
    corruption = "" if cfg.get("corruption") is None else cfg.corruption._target_.rpartition(".")[2].lower()
    images = make(cfg, "dataset")
    where = (images.name, images.category, corruption, results.name)
    clean = statistics(cfg, images, run / "clean" / results.name, opinions.get((*where[:3], cfg.seed)))
    opinions[*where[:3], cfg.seed] = clean.opinion
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


def statistics(
    cfg: OmegaConf, images: ImageSet, results: Path, opinion: Callable[[Tensor], Tensor] | None
) -> CleanStatistics:
    """As the run had them: results of the clean images, and the second opinion, fitted to the others if it is None."""
    found = [load(file) for file in sorted(results.glob("*.npz"))]
    if opinion is not None:
        known = usual(None, found, None, cfg.seed, torch.device("cpu"))
        observed = torch.stack([torch.from_numpy(each["observed"]) for each in found])
        return CleanStatistics(observed, known.residuals, opinion)
    training = images.train()
    used = set(spread(len(training), len(found)))
    others = [i for i in range(len(training)) if i not in used]
    others = torch.stack([training[others[i]] for i in spread(len(others), OPINION_IMAGES)])
    return usual(generator(cfg, images), found, others, cfg.seed, torch.device("cpu"))


if __name__ == "__main__":
    main()
