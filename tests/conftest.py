"""What tests share: tiny generators that each can afford, and a cache that is nobody's."""

import pytest
import torch

from rgi.generators import build
from rgi.generators.store import GAN, Card

torch.set_num_threads(1)  # networks this small spend their time waiting for a second thread


@pytest.fixture(autouse=True, scope="session")
def _image_cache(tmp_path_factory):
    """Decoded images stay out of the user's cache, those of the processes that tests start included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
    return GAN(generator, critic, None, Card(family=family, **sizes, options=options))
