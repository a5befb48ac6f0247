"""Tiny random GANs for fast tests."""

import torch

from rgi.generators import build
from rgi.generators.store import GAN, Card


def tiny_gan(family: str = "compact", seed: int = 0, channels: int = 1) -> GAN:
    """A random GAN whose images have about the variance of real images."""
    torch.manual_seed(seed)
    options = {
        "compact": {"latent_dim": 8, "resolution": 32, "width": 4},
        "progressive": {"latent_dim": 16, "resolution": 16, "widths": [16, 12, 8]},
        "pca": {"latent_dim": 6, "resolution": 16},
        "appearance": {"latent_dim": 8, "resolution": 16, "shapes": 3, "rotation": True, "chroma_subsampling": 4},
    }[family]
    sizes = {"latent_dim": options.pop("latent_dim"), "channels": channels, "resolution": options.pop("resolution")}
    generator, critic = build(family, **sizes, **options)
    if family == "pca":
        for parameter in generator.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return GAN(generator, critic, None, Card(family=family, **sizes, options=options))
