"""python experiments/optimiser/prior.py: how strong the prior on z should be, for defects and for holes.

The weight of |z|² is that of ``latent_weight=auto`` times a factor. The sets, images and scores are those of
positions.py. The script writes prior.csv. It does not compute cases that are already in this file.
"""

import argparse
from itertools import product
from pathlib import Path

import pandas as pd
from positions import CORRUPTIONS, DEFECTS, HOLES, configuration, scores, solver
from tqdm import tqdm

from rgi import load_gan
from rgi.inversion.automatic import latent_weight

HERE = Path(__file__).resolve().parent
FACTORS = (0.25, 0.5, 1, 2, 4, 16, 64)
METHODS = ("anogan", "rgi")
KEYS = ["set", "images", "method", "factor"]


def main() -> None:
    """Run the cases that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=[*DEFECTS, *HOLES])
    parser.add_argument("--table", type=Path, default=HERE / "prior.csv")
    given = parser.parse_args()
    table = pd.read_csv(given.table) if given.table.exists() else pd.DataFrame(columns=[*KEYS, "metric", "value"])
    for name in given.sets:
        gan = load_gan((DEFECTS | HOLES)[name][-1])
        methods, kinds = (METHODS, ("painted", "test")) if name in DEFECTS else (("rgi",), CORRUPTIONS)
        for kind, method, factor in tqdm(list(product(kinds, methods, FACTORS)), desc=name):
            case = [name, kind, method, factor]
            if (table[KEYS] == case).all(axis="columns").any():
                continue
            cfg = configuration(name, method, kind)
            config = solver(cfg)
            config = config.replace(latent_weight=factor * latent_weight(config.replace(latent_weight="auto"), gan))
            for metric, value in scores(gan, name, kind, cfg, config).items():
                table.loc[len(table)] = [*case, metric, round(value, 4)]
            table.to_csv(given.table, index=False)


if __name__ == "__main__":
    main()
