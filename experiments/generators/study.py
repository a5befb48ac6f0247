"""Compare alternatives to the compact GAN. All alternatives see the same number of training images of the same data.

    python experiments/generators/study.py ROOT [NAME ...]

The script writes study.csv. It does not train alternatives that already have rows in this file.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from alternatives import (
    AlternativeTraining,
    BatchNormGenerator,
    ModulatedGenerator,
    PixelNormGenerator,
    ReconstructingCritic,
    SkipGenerator,
    SpectralCritic,
    WeightNormGenerator,
)
from pytorch_lightning import Trainer

from rgi.data.sets.magnetic_tile import MagneticTile
from rgi.generators.compact import Critic, Generator
from rgi.generators.store import Card
from rgi.metrics.generative.memorisation import memorisation
from rgi.training.judging import Judge
from rgi.training.loader import TrainingData
from rgi.training.progress import TrainingProgress

HERE = Path(__file__).parent
BASE = {"generator": BatchNormGenerator, "critic": Critic, "r1": 0.1, "augment": 0.0, "batch_size": 32, "lr": 1e-3}
ALTERNATIVES: dict[str, dict[str, Any]] = {
    "plain": BASE,
    "modulated": {**BASE, "generator": ModulatedGenerator},
    "pixel_norm": {**BASE, "generator": PixelNormGenerator},
    "no_norm": {**BASE, "generator": Generator},
    "weight_norm": {**BASE, "generator": WeightNormGenerator},
    "skip": {**BASE, "generator": SkipGenerator},
    "batch_16": {**BASE, "batch_size": 16},
    "batch_8": {**BASE, "batch_size": 8},
    "no_norm_16": {**BASE, "generator": Generator, "batch_size": 16},
    "pixel_norm_16": {**BASE, "generator": PixelNormGenerator, "batch_size": 16},
    "augment": {**BASE, "augment": 1.0},
    "augment_third": {**BASE, "augment": 0.3},
    "reconstruct": {**BASE, "critic": ReconstructingCritic},
    "spectral": {**BASE, "critic": SpectralCritic, "r1": 0.0},
    "r1_10": {**BASE, "r1": 1.0},
}


def main() -> None:
    """Train the alternatives from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder of the magnetic tile dataset")
    parser.add_argument("names", nargs="*", default=[*ALTERNATIVES], help="alternatives; default: all")
    parser.add_argument("--images", type=int, default=38_400, help="training images of each alternative")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--table", type=Path, default=HERE / "study.csv")
    arguments = parser.parse_args()
    for name in arguments.names:
        table = pd.DataFrame(columns=["alternative"])
        if arguments.table.exists():
            table = pd.read_csv(arguments.table, dtype=str)  # text, so that numbers keep their digits
        if name not in set(table["alternative"]):
            pd.concat([table, train(name, arguments)]).to_csv(arguments.table, index=False)


def train(name: str, arguments: argparse.Namespace) -> pd.DataFrame:
    """Train one alternative.

    Args:
        name: name of the alternative in `ALTERNATIVES`.
        arguments: arguments of the command line.

    Returns:
        Rows of study.csv, one per evaluation of the training.
    """
    settings = dict(ALTERNATIVES[name])
    batch_size = settings.pop("batch_size")
    steps = arguments.images // batch_size
    images = MagneticTile(arguments.root, arguments.resolution, 1, None)
    clean, held_out = (
        torch.stack([part[i] for i in range(len(part))]) for part in (images.train(), images.validation())
    )
    sizes = {"family": "compact", "latent_dim": 128, "channels": 1, "resolution": arguments.resolution, "options": {}}
    torch.manual_seed(0)
    training = AlternativeTraining(**settings, **sizes, betas=(0.5, 0.99), ema=0.998, steps=steps, seed=0)
    folder = HERE.parents[1] / "outputs" / "generators" / name
    real = clean[torch.linspace(0, len(clean) - 1, 256).long()]
    judge = Judge(folder, max(1, steps // 3), held_out[::2], real, Card(**sizes), None)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed",
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[TrainingProgress(name, batch_size), judge],
    )
    started = time.perf_counter()
    trainer.fit(training, datamodule=TrainingData(images.train(), batch_size, steps, seed=0))
    seconds = time.perf_counter() - started
    weights = sum(parameter.numel() for parameter in training.generator.parameters())
    copies = memorisation(training.samples(256), held_out, clean)
    common = {"alternative": name, "weights": weights, "seconds": seconds, "images": arguments.images, **copies}
    return pd.DataFrame(
        [{**common, **row} for row in judge.rows], dtype=object
    )  # dtype object, because integers must stay integers


if __name__ == "__main__":
    main()
