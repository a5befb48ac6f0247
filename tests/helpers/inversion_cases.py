"""Configurations and corrupted images for tests of the inversion."""

import torch

COMMON = {"precision": "float64", "iterations": 15, "pool_size": 20, "mask_penalty": 0.05}
METHODS = {
    "anogan": {"mask": "none"},
    "rgi": {},
    "rgi_l1": {"data_term": "l1"},
    "rgi_pixel": {"mask_shape": "pixel"},
    "rgi_closing": {"mask_closing": 0.5},
    "rgi_critic": {"critic_weight": 0.1},
    "rgi_adam": {"mask": "adam", "mask_init": "ones", "schedule": "constant", "warmup": 0, "freeze_mask_from": 8},
    "yeh_masked": {"mask": "given", "data_term": "l1"},
    "r_rgi": {"tune_generator": True, "tune_from": 5, "lr_generator": 1e-3, "warm_moments": False},
    "r_rgi_hold": {
        **{"tune_generator": True, "tune_from": 5, "lr_generator": 1e-3, "warm_moments": False},
        "mask_hold": 0.3,
    },
    "r_rgi_warm": {"tune_generator": True, "tune_from": 5, "lr_generator": 1e-3, "mask": "adam"},
    "pan_masked": {"mask": "given", "tune_generator": True, "tune_from": 5, "lr_generator": 1e-3},
    "rgi_settling": {"tolerance": 0.2, "iterations": 40},
    "rgi_trial": {"starts": 3, "trial_steps": 5},
    "rgi_continuation": {"continuation": 10.0},
    "r_rgi_trial": {"tune_generator": True, "tune_from": 3, "lr_generator": 1e-3, "starts": 5, "trial_steps": 6},
}


def corrupted(gan, count, seed=1):
    """Images of the generator with a corrupted block each, the masks of the blocks, and the clean images."""
    torch.manual_seed(seed)
    card = gan.card
    clean = gan.generator(torch.randn(count, card.latent_dim))
    mask = torch.zeros(count, 1, card.resolution, card.resolution)
    for i in range(count):
        top = 2 + i % 4
        mask[i, :, top : top + 4, 3:7] = 1
    return clean + mask * torch.randn_like(clean) * 2, mask, clean
