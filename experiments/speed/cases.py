"""What is compared: generators, images, and the settings of both sides."""

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
PENALTY = 0.1  # λ of both
NOISE = 0.05  # standard deviation of what the generator cannot explain
WRONG = (0.05, 0.15)  # fraction of the pixels that are replaced
GRAIN = 8  # of the blobs that they form, in pixels
PUBLISHED = {"rgi": Published(PENALTY), "r_rgi": Published(PENALTY, tune_generator=True)}
grid.register()  # of what the solvers' files leave out
MOST_TUNING = 1e-5 * 1500  # the loop's rate of θ times the steps in which θ moves


@dataclass(frozen=True)
class Case:
    """A row of the comparison.

    Attributes:
        make: the GAN, nothing of it computed yet, on the device where the case runs.
        images: how many ours inverts at once.
        target: the loop's time per image over ours.
    """

    name: str
    method: str
    make: Callable[[], GAN]
    images: int
    target: float


class Images(NamedTuple):
    """``observed`` and ``clean`` (B,C,H,W), and ``wrong`` (B,1,H,W), 1 where the image was replaced."""

    observed: Tensor
    clean: Tensor
    wrong: Tensor


def brick() -> GAN:
    """The shipped generator of 64 pixels."""
    return load_gan("textures-brick-64")


def progressive(widths: list[int] | None, device: torch.device) -> GAN:
    """The paper's network of 128 pixels with random weights; ``widths`` other than the paper's for a quick run."""
    torch.manual_seed(0)
    sizes = {"latent_dim": 512, "channels": 3, "resolution": 128}
    generator, critic = build("progressive", **sizes, widths=widths)
    return GAN(generator, critic, None, Card("progressive", **sizes)).to(device)


@torch.no_grad()
def corrupted(gan: GAN, count: int) -> Images:
    """x = G(z*) + noise, some of the pixels replaced by N(0,1)."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randn(count, gan.card.latent_dim, generator=generator).to(gan.device)
    clean = torch.cat([gan.generator(part) for part in codes.split(16)]).cpu()
    low, high = WRONG
    fractions = low + (high - low) * torch.rand(count, generator=generator)
    wrong = regions(fractions, gan.card.resolution, GRAIN, generator)
    noisy = clean + NOISE * torch.randn(clean.shape, generator=generator)
    observed = fill(noisy, wrong, "noise", generator)
    return Images(*(part.to(gan.device) for part in (observed, clean, wrong)))


def our_solver(method: str, device: torch.device) -> SolverConfig:
    """conf/solver/<method>.yaml with the loop's λ, and a rate of θ that moves it no further than the loop does."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = compose("config", [f"solver={method}"]).solver
    config = solver_config(options, method, "invert").replace(mask_penalty=PENALTY, compile=device.type == "cuda")
    if not config.tune_generator:
        return config
    return config.replace(lr_generator=min(config.lr_generator, MOST_TUNING / tuned_steps(config)))


def tuned_steps(config: SolverConfig) -> int:
    """In how many steps θ moves."""
    return max(0, config.iterations - config.tune_from) if config.tune_generator else 0


def training_options(family: str) -> dict[str, Any]:
    """How conf/generator/<family>.yaml trains, without the class."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = OmegaConf.to_container(compose("config", [f"generator={family}"]).generator.training)
    return {name: value for name, value in options.items() if name != "_target_"}
