"""A training on few images, with a tiny network."""

import torch

from rgi.training.small_data import SmallDataTraining

SIZES = {"family": "compact", "latent_dim": 8, "channels": 1, "resolution": 32, "options": {"width": 4}}


def small_training(**changes) -> SmallDataTraining:
    torch.manual_seed(0)
    settings = {"steps": 100, "lr": 1e-2, "betas": (0.5, 0.99), "r1": 0.7, "augment": 0, "ema": 0.9, "seed": 0}
    return SmallDataTraining(**SIZES | settings | changes)
