"""python experiments/robustness/study.py: where a robust mask pays, over contrast and area of painted defects.

Each cell paints one blob of a given area and contrast on each of some clean test images. AnoGAN, RGI and R-RGI invert
the same pictures with the options of their experiments. The script writes study.csv. It does not compute cells
that are already in this file.
"""

import argparse
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from rgi import invert, load_gan
from rgi.app.grid import compose
from rgi.app.options import make, solver_config
from rgi.data.protocol import ImageSet, evenly_spaced

HERE = Path(__file__).resolve().parent
SETS = {  # name in the table: options of the dataset, and generator
    "tile": (["dataset=magnetic_tile"], "magnetic_tile-tile-64"),
    "screw": (["dataset=mvtec_ad"], "mvtec_ad-screw-64"),
    "brick": (["dataset=textures", "dataset.category=brick"], "textures-brick-64"),
    "faces": (["dataset=celeba"], "celeba-faces-64"),
}
METHODS = ("anogan", "rgi", "rrgi")
AREAS = (0.01, 0.02, 0.04, 0.08, 0.16)  # share of the image
CONTRASTS = (0.5, 1.0, 2.0, 3.0, 4.0)  # standard deviations of the image
SIGMA = 1  # of the residual, in pixels


def blob(size: int, area: float, random: np.random.Generator) -> np.ndarray:
    """Region (size,size) of exactly this area: the highest values of a smooth random field plus a bump."""
    field = ndimage.gaussian_filter(random.normal(size=(size, size)), size / 16, mode="wrap")
    rows, columns = np.mgrid[:size, :size]
    centre = random.uniform(0.3, 0.7, 2) * size
    distance = np.hypot(rows - centre[0], columns - centre[1]) / size
    height = field / field.std() - 40 * distance**2 / area**0.5
    region = np.zeros(size * size, bool)
    region[np.argsort(height.ravel())[-round(area * size * size) :]] = True
    return region.reshape(size, size)


def painted(clean: Tensor, area: float, contrast: float) -> tuple[Tensor, Tensor]:
    """Images (N,C,H,W) with one blob each, and the masks (N,H,W).

    The blob is shifted up or down by ``contrast`` standard deviations of its image, and keeps half of its texture. If
    it would leave [-1,1], the other sign is taken, and the rest is clipped.
    """
    images, masks = clean.clone().numpy(), []
    for i, image in enumerate(images):
        random = np.random.default_rng([zlib.crc32(b"blob"), i])
        region = blob(image.shape[-1], area, random)
        inside = image[:, region]
        mean, shift = inside.mean(1, keepdims=True), random.choice([-1, 1]) * contrast * image.std()
        if abs(mean + shift).max() > 1:
            shift = -shift
        image[:, region] = np.clip(mean + shift + (inside - mean) / 2, -1, 1)
        masks.append(torch.from_numpy(region))
    return torch.from_numpy(images), torch.stack(masks)


def clean_images(images: ImageSet, limit: int) -> Tensor:
    """Evenly spaced clean test images (N,C,H,W): λ of each position comes from the validation images."""
    tests = images.test()
    batches = [tests[i] for i in range(len(tests))]
    clean = [batch.observed for batch in batches if batch.defective is None or not batch.defective.any()]
    return torch.cat([clean[i] for i in evenly_spaced(len(clean), limit)])


def main() -> None:
    """Run the cells that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--table", type=Path, default=HERE / "study.csv")
    arguments = parser.parse_args()
    keys = ["set", "area", "contrast", "method"]
    table = pd.DataFrame(columns=[*keys, "pixel_auroc"])
    if arguments.table.exists():
        table = pd.read_csv(arguments.table)
    methods = {name: solver_config(compose(f"experiment=mvtec_{name}").solver, name, "invert") for name in METHODS}
    for name in arguments.sets:
        options, generator = SETS[name]
        clean = clean_images(make(compose(*options), "dataset"), arguments.images)
        gan = load_gan(generator)
        for area, contrast, method in tqdm(list(product(AREAS, CONTRASTS, METHODS)), desc=name):
            if (table[keys] == [name, area, contrast, method]).all(axis="columns").any():
                continue
            observed, masks = painted(clean, area, contrast)
            scores = invert(gan, observed, methods[method]).anomaly_map("residual", sigma=SIGMA)
            score = roc_auc_score(masks.flatten(), scores.flatten())
            table.loc[len(table)] = [name, area, contrast, method, round(score, 4)]
            table.to_csv(arguments.table, index=False)


if __name__ == "__main__":
    main()
