"""Tiny generators that every test can afford."""

from pathlib import Path

import pytest
import torch

from rgi.generators import build
from rgi.generators.store import GAN, Card

SHARED = Path(__file__).parents[1] / "../shared"


def tiny_gan(family: str = "compact", seed: int = 0, channels: int = 1) -> GAN:
    """A random network whose images vary as much as real ones."""
    torch.manual_seed(seed)
    options = {
        "compact": {"latent_dim": 8, "resolution": 32, "width": 4},
        "progressive": {"latent_dim": 16, "resolution": 16, "widths": [16, 12, 8]},
        "pca": {"latent_dim": 6, "resolution": 16},
    }[family]
    sizes = {"latent_dim": options.pop("latent_dim"), "channels": channels, "resolution": options.pop("resolution")}
    generator, critic = build(family, **sizes, **options)
    if family == "pca":
        for parameter in generator.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    else:
        with torch.no_grad():  # running statistics of its own, as a trained network has
            generator.train()
            for _ in range(20):
                generator(torch.randn(32, sizes["latent_dim"]))
    return GAN(generator, critic, None, Card(family=family, **sizes, options=options))


@pytest.fixture(params=["compact", "progressive", "pca"])
def gan(request) -> GAN:
    return tiny_gan(request.param)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The material for development, absent from an ordinary checkout."""
    if not SHARED.is_dir():
        pytest.skip("the shared development material is not beside the project")
    return SHARED
