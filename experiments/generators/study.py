"""Which compact GAN: alternatives trained for the same number of images each, on the same data; writes study.csv.

    python experiments/generators/study.py dataset.root=... [name ...]

An alternative whose rows are there already is not trained again.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from alternatives import (
    BatchNormGenerator,
    ModulatedGenerator,
    PixelNormGenerator,
    ReconstructingCritic,
    SkipGenerator,
    SpectralCritic,
    Training,
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
PLAIN = {"generator": BatchNormGenerator, "critic": Critic, "r1": 0.1, "augment": 0.0, "batch_size": 32, "lr": 1e-3}
ALTERNATIVES: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "modulated": {**PLAIN, "generator": ModulatedGenerator},
    "pixel_norm": {**PLAIN, "generator": PixelNormGenerator},
    "no_norm": {**PLAIN, "generator": Generator},
    "weight_norm": {**PLAIN, "generator": WeightNormGenerator},
    "skip": {**PLAIN, "generator": SkipGenerator},
    "batch_16": {**PLAIN, "batch_size": 16},
    "batch_8": {**PLAIN, "batch_size": 8},
    "no_norm_16": {**PLAIN, "generator": Generator, "batch_size": 16},
    "pixel_norm_16": {**PLAIN, "generator": PixelNormGenerator, "batch_size": 16},
    "augment": {**PLAIN, "augment": 1.0},
    "augment_third": {**PLAIN, "augment": 0.3},
    "reconstruct": {**PLAIN, "critic": ReconstructingCritic},
    "spectral": {**PLAIN, "critic": SpectralCritic, "r1": 0.0},
    "r1_10": {**PLAIN, "r1": 1.0},
}


def main() -> None:
    """Train what is asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="of the magnetic tiles")
    parser.add_argument("names", nargs="*", default=[*ALTERNATIVES])
    parser.add_argument("--images", type=int, default=38_400, help="seen by each alternative")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--table", type=Path, default=HERE / "study.csv")
    arguments = parser.parse_args()
    for name in arguments.names:
        table = pd.DataFrame(columns=["alternative"])
        if arguments.table.exists():
            table = pd.read_csv(arguments.table, dtype=str)  # as text, so that earlier rows stay as they are
        if name not in set(table["alternative"]):
            pd.concat([table, train(name, arguments)]).to_csv(arguments.table, index=False)


def train(name: str, arguments: argparse.Namespace) -> pd.DataFrame:
    """The judgements of one alternative."""
    settings = dict(ALTERNATIVES[name])
    batch_size = settings.pop("batch_size")
    steps = arguments.images // batch_size
    images = MagneticTile(arguments.root, arguments.resolution, 1, None)
    clean, held_out = (
        torch.stack([part[i] for i in range(len(part))]) for part in (images.train(), images.validation())
    )
    sizes = {"family": "compact", "latent_dim": 128, "channels": 1, "resolution": arguments.resolution, "options": {}}
    torch.manual_seed(0)
    training = Training(**settings, **sizes, betas=(0.5, 0.99), ema=0.998, steps=steps, seed=0)
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
    return pd.DataFrame([{**common, **row} for row in judge.rows], dtype=object)  # a count stays a whole number


if __name__ == "__main__":
    main()
