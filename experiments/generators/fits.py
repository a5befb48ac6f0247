"""python experiments/generators/fits.py: what moved copies and a warp give a fitted generator.

Each variant is fitted to the training images of four sets, with two seeds. The script measures held-out clean images,
as gaps.py does. It writes fits.csv, and does not fit again what already has a row there.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from gaps import IMAGES, MOST, inversion_gap, projection_gap
from tqdm import tqdm

from rgi.app.grid import compose
from rgi.app.options import make
from rgi.data.protocol import stack_images
from rgi.metrics.generative.quality import sample_quality
from rgi.training import alignment
from rgi.training.judging import defect_aurocs

HERE = Path(__file__).resolve().parent
SETS = {  # name: options of the dataset; dimension of a code; how copies are mirrored; whether the object rotates
    "tile": (["dataset=magnetic_tile"], 256, "both", False),
    "screw": (["dataset=mvtec_ad"], 256, "none", True),
    "cars": (["dataset=stanford_cars"], 512, "horizontal", False),
    "bedrooms": (["dataset=lsun_bedroom"], 416, "horizontal", False),
}
CHROMA_SUBSAMPLING = 4  # of the RGB images
VARIANTS = {  # name: number of copies, and whether there is a warp
    "components": (0, False),
    "2000 copies": (2000, False),
    "8000 copies": (8000, False),
    "16000 copies": (16000, False),
    "warp": (0, True),
    "warp and 8000 copies": (8000, True),
}
SHAPES = 16  # codes of a warp
SAMPLES = 256  # samples and training images that are compared
KEYS = ["set", "variant", "seed"]


def main() -> None:
    """Fit and measure the variants that have no row yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--table", type=Path, default=HERE / "fits.csv")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.table).to_dict("records") if arguments.table.exists() else []
    for name in arguments.sets:
        options, size, flip, rotation = SETS[name]
        images = make(compose(*options), "dataset")
        clean, held_out = stack_images(images.train(), MOST), stack_images(images.validation(), IMAGES)
        projected = projection_gap(clean, held_out, size)
        for (variant, (copies, warp)), seed in tqdm(list(product(VARIANTS.items(), arguments.seeds)), desc=name):
            key = dict(zip(KEYS, (name, variant, seed), strict=True))
            if any(all(row[column] == value for column, value in key.items()) for row in rows):
                continue
            started = time.perf_counter()
            gan = alignment.fit(
                clean,
                size,
                SHAPES * warp,
                rotation and warp,
                CHROMA_SUBSAMPLING,
                copies,
                flip if copies else "none",
                seed,
            )
            seconds = time.perf_counter() - started
            found = inversion_gap(gan, held_out)
            codes = torch.randn(SAMPLES, size, generator=torch.Generator().manual_seed(seed))
            quality = sample_quality(stack_images(images.train(), SAMPLES), gan.generator(codes).detach())
            rows.append(
                {
                    **key,
                    "codes": size,
                    "gap": found,
                    "ratio": found / projected,
                    **defect_aurocs(gan, held_out),
                    **{each: quality[each] for each in ("swd", "precision", "recall")},
                    "seconds": seconds,
                }
            )
            pd.DataFrame(rows).round(4).to_csv(arguments.table, index=False)


if __name__ == "__main__":
    main()
