"""python experiments/generators/codes.py: how many codes a fitted generator of photographs needs.

Generators with several numbers of codes are fitted to the training images of faces, cars and bedrooms. The script
measures held-out clean images, as gaps.py does, painted defects, and restored holes of validation images with the
options of the inpainting experiments. It writes codes.csv, and does not fit again what already has a row there.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
from gaps import IMAGES, MOST, SETS, inversion_gap, projection_gap
from tqdm import tqdm

from rgi import invert
from rgi.app.grid import CORRUPTIONS, compose
from rgi.app.options import make, solver_config
from rgi.data.batch import Batch
from rgi.data.protocol import ImageSet, stack_images
from rgi.evaluation.clean_residuals import CALIBRATION_IMAGES, clean_residuals
from rgi.evaluation.held_out import painted_tests
from rgi.generators.store import GAN
from rgi.metrics.standard import psnr, psnr_hole
from rgi.training import alignment
from rgi.training.judging import defect_aurocs

HERE = Path(__file__).resolve().parent
FITS = {  # dataset: shipped generator, and number of copies of its fit
    "celeba": ("celeba-faces-64", 0),
    "stanford_cars": ("stanford_cars-cars-64", 16000),
    "lsun_bedroom": ("lsun_bedroom-bedrooms-64", 16000),
}
CODES = ((192, 4), (416, 1), (416, 4), (512, 4), (800, 4))  # codes, and side of the squares that share a colour
METHODS = ("rgi", "rrgi", "pan_masked")
TESTS = 24  # validation images with holes
KEYS = ["dataset", "codes", "chroma_subsampling"]


def holes(gan: GAN, dataset: str, images: ImageSet) -> dict[str, float]:
    """PSNR of the whole image and of the hole by column name, for each corruption and method."""
    found = {}
    for corruption in CORRUPTIONS:
        for method in METHODS:
            cfg = compose(f"experiment={dataset}_{corruption}_{method}")
            tests = painted_tests(images, make(cfg, "corruption"), TESTS)
            batch = Batch.collate([tests[index] for index in range(len(tests))])
            config = solver_config(cfg.solver, method, "invert")
            restored = invert(gan, batch.observed, config, batch.mask if config.mask == "given" else None).restored
            found[f"{corruption}_{method}"] = psnr(restored, batch.clean).mean().item()
            found[f"{corruption}_{method}_hole"] = psnr_hole(restored, batch.clean, batch.mask).mean().item()
    return found


def main() -> None:
    """Fit and measure what has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=list(FITS))
    parser.add_argument("--table", type=Path, default=HERE / "codes.csv")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.table).to_dict("records") if arguments.table.exists() else []
    for dataset in arguments.datasets:
        name, copies = FITS[dataset]
        images = make(compose(*SETS[name]), "dataset")
        clean, held_out = stack_images(images.train(), MOST), stack_images(images.validation(), CALIBRATION_IMAGES)
        for codes, factor in tqdm(CODES, desc=dataset):
            key = dict(zip(KEYS, (dataset, codes, factor), strict=True))
            if any(all(row[column] == value for column, value in key.items()) for row in rows):
                continue
            gan = alignment.fit(clean, codes, 0, False, factor, copies, "horizontal", seed=0)
            gan.card = replace(gan.card, **clean_residuals(gan, held_out)._asdict())
            found, few = inversion_gap(gan, held_out[:IMAGES]), held_out[:IMAGES]
            ratio = found / projection_gap(clean, few, codes)
            rows.append({**key, "gap": found, "ratio": ratio, **defect_aurocs(gan, few), **holes(gan, dataset, images)})
            pd.DataFrame(rows).round(4).to_csv(arguments.table, index=False)


if __name__ == "__main__":
    main()
