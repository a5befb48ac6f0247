"""Cases of the comparison: generators, images, and settings of our solver and of the published procedure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from loop import Published
from omegaconf import OmegaConf
from torch import Tensor

from rgi import SolverConfig, load_gan
from rgi.app import grid
from rgi.app.options import solver_config
from rgi.data.corruptions.fills import fill
from rgi.data.corruptions.regions import regions
from rgi.generators import build
from rgi.generators.store import GAN, Card

CONF = Path(__file__).parents[2] / "conf"
PENALTY = 0.1  # λ of our solver and of the published procedure
NOISE_LEVEL = 0.05  # standard deviation of the noise on all pixels
CORRUPTED_FRACTION = (0.05, 0.15)  # lowest and highest fraction of corrupted pixels
REGION_SIZE = 8  # approximate size of a corrupted region in pixels
PUBLISHED = {"rgi": Published(PENALTY), "r_rgi": Published(PENALTY, tune_generator=True)}
grid.register()  # registers configurations that the files in conf/solver need
MAX_TUNING = 1e-5 * 1500  # learning rate of θ times tuning steps of the published procedure


@dataclass(frozen=True)
class Case:
    """One case of the comparison.

    Attributes:
        name: name in the table.
        method: "rgi" or "r_rgi".
        make: function that returns a new GAN without cached results, on the device of the case.
        images: number of images that our solver inverts together.
        target: target for the speed-up, time per image of the published procedure over our time.
    """

    name: str
    method: str
    make: Callable[[], GAN]
    images: int
    target: float


class Images(NamedTuple):
    """Images of a case.

    Attributes:
        observed: observed images (B,C,H,W).
        clean: clean images (B,C,H,W).
        mask: true masks (B,1,H,W), 1 = corrupted.
    """

    observed: Tensor
    clean: Tensor
    mask: Tensor


def brick() -> GAN:
    """Load the shipped GAN for bricks with 64 pixels."""
    return load_gan("textures-brick-64")


def faces() -> GAN:
    """Load the shipped generator of faces with 64 pixels, which is fitted and not trained: it is linear in z."""
    return load_gan("celeba-faces-64")


def progressive(widths: list[int] | None, device: torch.device) -> GAN:
    """Create the paper's network for 128 pixels with random weights.

    Args:
        widths: feature maps at 4, 8, ..., 128 pixels; None for the paper's.
        device: device of the networks.
    """
    torch.manual_seed(0)
    sizes = {"latent_dim": 512, "channels": 3, "resolution": 128}
    generator, critic = build("progressive", **sizes, widths=widths)
    return GAN(generator, critic, None, Card("progressive", **sizes)).to(device)


@torch.no_grad()
def corrupted_images(gan: GAN, count: int) -> Images:
    """Create images x = G(z*) + noise, with corrupted regions from N(0,1).

    Args:
        gan: GAN.
        count: number of images.
    """
    generator = torch.Generator().manual_seed(1)
    codes = torch.randn(count, gan.card.latent_dim, generator=generator).to(gan.device)
    clean = torch.cat([gan.generator(part) for part in codes.split(16)]).cpu()
    low, high = CORRUPTED_FRACTION
    fractions = low + (high - low) * torch.rand(count, generator=generator)
    mask = regions(fractions, gan.card.resolution, REGION_SIZE, generator)
    noisy = clean + NOISE_LEVEL * torch.randn(clean.shape, generator=generator)
    observed = fill(noisy, mask, "noise", generator)
    return Images(*(part.to(gan.device) for part in (observed, clean, mask)))


def our_solver(method: str, device: torch.device) -> SolverConfig:
    """Our solver configuration: conf/solver/<method>.yaml with the λ of the published procedure.

    The product of learning rate and number of tuning steps of θ is at most that of the published procedure.

    Args:
        method: "rgi" or "r_rgi".
        device: device of the case. The networks are compiled on a GPU.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = compose("config", [f"solver={method}"]).solver
    config = solver_config(options, method, "invert").replace(mask_penalty=PENALTY, compile=device.type == "cuda")
    if not config.tune_generator:
        return config
    return config.replace(lr_generator=min(config.lr_generator, MAX_TUNING / tuned_steps(config)))


def tuned_steps(config: SolverConfig) -> int:
    """Number of steps that tune θ."""
    return max(0, config.iterations - config.tune_from) if config.tune_generator else 0


def training_options(family: str) -> dict[str, Any]:
    """Training options of conf/generator/<family>.yaml, without the class."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = OmegaConf.to_container(compose("config", [f"generator={family}"]).generator.training)
    return {name: value for name, value in options.items() if name != "_target_"}
