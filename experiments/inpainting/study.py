"""python experiments/inpainting/study.py: options of RGI and R-RGI for holes, compared on validation images.

Each variant changes one option of the inpainting experiments. No result table uses these images. The script writes
study.csv. It does not compute rows that are already in this file.
"""

import argparse
from itertools import product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from rgi import invert, load_gan
from rgi.app.grid import CORRUPTIONS, compose
from rgi.app.options import make, solver_config
from rgi.data.batch import Batch
from rgi.evaluation.held_out import painted_tests
from rgi.metrics.standard import psnr, psnr_hole

HERE = Path(__file__).resolve().parent
GENERATORS = {
    "celeba": "celeba-faces-64",
    "stanford_cars": "stanford_cars-cars-64",
    "lsun_bedroom": "lsun_bedroom-bedrooms-64",
}
OF_BOTH = {  # option: other values than that of the experiments
    "clean_quantile": (0.9, 0.99),
    "continuation": (1, 2, 8),
    "mask_closing": (None, 0.75, 0.9),
    "mask_shape": ("channel",),
    "latent_weight": (0.0,),
}
OF_R_RGI = {"mask_hold": (None, 0.5), "lr_generator": (1e-3, 4e-3)}
METHODS = {"rgi": OF_BOTH, "rrgi": OF_BOTH | OF_R_RGI, "yeh_masked": {}, "pan_masked": {}}
KEYS = ["dataset", "corruption", "method", "options"]


def variants(method: str) -> list[dict[str, object]]:
    """The options of a method that differ from its experiments, for each of its rows; the first row has none."""
    return [{}, *({name: value} for name, values in METHODS[method].items() for value in values)]


def main() -> None:
    """Run the rows that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=list(GENERATORS))
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--table", type=Path, default=HERE / "study.csv")
    arguments = parser.parse_args()
    table = pd.DataFrame(columns=[*KEYS, "psnr", "psnr_hole"])
    if arguments.table.exists():
        table = pd.read_csv(arguments.table, keep_default_na=False)
    for dataset, corruption in product(arguments.datasets, CORRUPTIONS):
        gan, images = load_gan(GENERATORS[dataset]), make(compose(f"dataset={dataset}"), "dataset")
        rows = [(method, options) for method in METHODS for options in variants(method)]
        for method, options in tqdm(rows, desc=f"{dataset}, {corruption}"):
            key = [dataset, corruption, method, " ".join(f"{name}={value}" for name, value in options.items())]
            if (table[KEYS] == key).all(axis="columns").any():
                continue
            cfg = compose(f"experiment={dataset}_{corruption}_{method}")
            tests = painted_tests(images, make(cfg, "corruption"), arguments.images)
            batch = Batch.collate([tests[index] for index in range(len(tests))])
            config = solver_config(cfg.solver, method, "invert").replace(**options)
            restored = invert(gan, batch.observed, config, batch.mask if config.mask == "given" else None).restored
            scores = (psnr(restored, batch.clean), psnr_hole(restored, batch.clean, batch.mask))
            table.loc[len(table)] = [*key, *(round(score.mean().item(), 3) for score in scores)]
            table.to_csv(arguments.table, index=False)


if __name__ == "__main__":
    main()
