"""Steps on fixed inputs that all processes share: python joint_steps.py PROCESSES FOLDER."""

import sys
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from rgi.training.adversarial import AdversarialTraining
from rgi.training.growing import GrowingTraining
from rgi.training.small_data import SmallDataTraining

JOINT, STEPS = 8, 4
DRAWN = torch.rand  # before it is replaced, once for each training
SETTINGS = {"steps": 10, "lr": 1e-3, "betas": (0.0, 0.99), "ema": 0.9, "seed": 0, "latent_dim": 6, "channels": 1}
FLAVOURS = {
    "growing": (GrowingTraining, {"family": "progressive", "resolution": 8, "options": {"widths": [8, 6]}}),
    "small_data": (
        SmallDataTraining,
        {"family": "compact", "resolution": 32, "options": {"width": 2, "max_width": 4}, "r1": 1.0, "augment": 0.0},
    ),
}


def make(flavour: str, world: int) -> AdversarialTraining:
    """A training whose random numbers are its share of those of one process."""
    family, options = FLAVOURS[flavour]

    class Shared(family):
        def random(self, step: int) -> torch.Generator:
            return torch.Generator().manual_seed(step)

        def latents(self, count: int, random: torch.Generator) -> torch.Tensor:
            joint = torch.randn(2, JOINT, 6, generator=random, dtype=torch.float64)
            return joint[:, self.global_rank * count : (self.global_rank + 1) * count]

    torch.manual_seed(0)
    training = Shared(**SETTINGS | options)

    def rand(count: int, *size: int, generator: torch.Generator) -> torch.Tensor:
        rank = training.global_rank
        return DRAWN(JOINT, *size, generator=generator)[rank * count : (rank + 1) * count]

    torch.rand = rand
    return training


def train(flavour: str, world: int, folder: Path) -> None:
    """Leave every process's weights in the folder."""
    training = make(flavour, world)
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
        precision="64-true",
        max_steps=STEPS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    side, share = training.architecture["resolution"], JOINT // world
    images = torch.linspace(-1, 1, JOINT * side * side).double().sin().view(JOINT, 1, side, side)
    mine = images[trainer.global_rank * share : (trainer.global_rank + 1) * share]
    trainer.fit(training, DataLoader([mine] * STEPS, batch_size=None))
    torch.save(training.state_dict(), folder / f"{flavour}_{world}_{trainer.global_rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in FLAVOURS:  # in the same processes, which take longer to start than to train
        train(name, int(sys.argv[1]), Path(sys.argv[2]))
