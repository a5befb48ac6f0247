"""python experiments/peers/peers.py ours|score FOLDER: PaDiM and PatchCore here and in anomalib, on the same images.

``ours`` writes the images of each set to FOLDER, and runs our two methods on them. with_anomalib.py runs those of
anomalib on the same images, in an environment of its own. ``score`` scores all maps by the same metrics, and writes
table.csv.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Subset

from rgi.app import grid
from rgi.app.options import make
from rgi.baselines.base import Baseline
from rgi.baselines.imagenet import imagenet_features
from rgi.baselines.padim import PaDiM
from rgi.baselines.patchcore import PatchCore
from rgi.data.batch import Batch
from rgi.data.protocol import evenly_spaced, stack_images
from rgi.evaluation.memory import PeakMemory
from rgi.metrics.standard import ImageAUROC, PixelCurve

HERE = Path(__file__).resolve().parent
SETS = {
    "tile": ["dataset=magnetic_tile", "dataset.images_per_kind=20"],
    "screw": ["dataset=mvtec_ad"],
    **{name: ["dataset=textures", f"dataset.category={name}"] for name in ("brick", "grass", "gravel")},
}
TRAINING_IMAGES = 256  # highest number of training images: anomalib's coreset is slow
BATCH = 16  # images per prediction


def main() -> None:
    """Run a step from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=("ours", "score"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument(
        "options", nargs="*", help="options of all datasets, such as dataset.root=...; SET:option for one"
    )
    given = parser.parse_args()
    if given.step == "ours":
        for name, options in SETS.items():
            own = [each.removeprefix(f"{name}:") for each in given.options if each.startswith(f"{name}:")]
            run(name, [*options, *own, f"dataset.resolution={given.resolution}"], given.folder)
    else:
        table = pd.DataFrame([score(file) for file in sorted(given.folder.glob("*/*-*.npz"))])
        table.to_csv(HERE / "table.csv", index=False)
        print(table.to_string())


def run(name: str, options: list[str], folder: Path) -> None:
    """Write the images of a set, and the maps of our methods."""
    images = make(grid.compose(*options), "dataset")
    images.prepare()
    clean = images.train()
    chosen = Subset(clean, evenly_spaced(len(clean), TRAINING_IMAGES))
    tests = images.test()
    batch = Batch.collate([tests[i] for i in range(len(tests))])
    place = folder / f"{name}-{images.resolution}"
    place.mkdir(parents=True, exist_ok=True)
    np.savez(
        place / "images.npz",
        train=stack_images(chosen),
        test=batch.observed,
        truth=batch.mask,
        defective=batch.defective,
    )
    for method, baseline in {
        "padim": PaDiM(imagenet_features(), seed=0),
        "patchcore": PatchCore(imagenet_features(), seed=0),
    }.items():
        np.savez(place / f"ours-{method}.npz", **measured(baseline, stack_images(chosen), batch.observed))


def measured(baseline: Baseline, clean: Tensor, observed: Tensor) -> dict[str, np.ndarray | float]:
    """Maps and image scores of a baseline, seconds of its fit and of the prediction of an image, and added memory."""
    with PeakMemory() as memory:
        fitted = baseline.fit(clean)
        started = time.perf_counter()
        found = [fitted.predict(part) for part in observed.split(BATCH)]
        seconds = (time.perf_counter() - started) / len(observed)
    maps = torch.cat([each.scores for each in found])
    own = [each.scores.amax((1, 2)) if each.image_scores is None else each.image_scores for each in found]
    added = memory.peak - memory.before
    return {
        "maps": maps.numpy(),
        "scores": torch.cat(own).numpy(),
        "fit": fitted.seconds,
        "image": seconds,
        "mib": added,
    }


def score(file: Path) -> dict[str, str | float]:
    """A row of the table: metrics and cost of one method on one set."""
    images, found = np.load(file.parent / "images.npz", allow_pickle=False), np.load(file, allow_pickle=False)
    curve, image_auroc = PixelCurve(), ImageAUROC()
    maps = torch.from_numpy(found["maps"]).float()
    curve.update(maps - maps.min(), torch.from_numpy(images["truth"]))
    image_auroc.update(torch.from_numpy(found["scores"]).float(), torch.from_numpy(images["defective"]))
    values = curve.compute()
    (name, resolution), (package, method) = file.parent.name.split("-"), file.stem.split("-")
    return {
        "set": name,
        "resolution": int(resolution),
        "method": method,
        "package": package,
        "pixel_auroc": round(float(values["pixel_auroc"]), 4),
        "aupro": round(float(values["aupro"]), 4),
        "image_auroc": round(float(image_auroc.compute()), 4),
        "fit_seconds": round(float(found["fit"]), 1),
        "seconds_per_image": round(float(found["image"]), 4),
        "added_mib": round(float(found["mib"])),
    }


if __name__ == "__main__":
    main()
