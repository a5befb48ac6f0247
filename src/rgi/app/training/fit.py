"""Fits of the generators that are not trained: principal components, with and without a warp."""

import dataclasses

from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import Dataset

from rgi.data.protocol import stack_images
from rgi.errors import InputError
from rgi.generators import build, pca, store
from rgi.generators.store import GAN
from rgi.training import alignment

FITS = {"pca": pca.fit, "appearance": alignment.fit}  # family to its fit: families that are not trained
FIT_IMAGES = 5000  # highest number of training images of a fit; enough for a few hundred components


def fitted(cfg: DictConfig, clean: Dataset[Tensor]) -> GAN:
    """A generator of a family in `FITS`, by the options of ``generator``.

    Args:
        cfg: configuration of the task.
        clean: clean training images (C,H,W).

    Raises:
        InputError: an option is wrong, the images are too few, or there is no such critic.
    """
    family, options = cfg.generator.family, {"latent_dim": cfg.generator.latent_dim, **cfg.generator.options}
    build(family, channels=cfg.dataset.channels, resolution=cfg.dataset.resolution, **options)  # checks the options
    critic = cfg.generator.critic and _critic(cfg.generator.critic, cfg.dataset.channels, cfg.dataset.resolution)
    gan = FITS[family](stack_images(clean, FIT_IMAGES), seed=cfg.seed, **options, **cfg.generator.fit)
    if critic:
        gan.critic, sizes = critic
        gan.card = dataclasses.replace(gan.card, options=gan.card.options | {"critic": sizes})
    return gan


def _critic(source: str, channels: int, resolution: int) -> tuple[nn.Module, dict[str, int]]:
    """The critic of a trained GAN, for features; and the options of the compact GAN that it belongs to."""
    gan = store.load_gan(source)
    options = gan.card.options if gan.card.family == "compact" else gan.card.options.get("critic")
    if gan.critic is None or options is None:
        raise InputError(f"generator.critic={source}: has no critic of a compact GAN; train one, or set null")
    if (gan.card.channels, gan.card.resolution) != (channels, resolution):
        raise InputError(
            f"generator.critic={source}: for {gan.card.resolution} pixels and {gan.card.channels} channels, but the "
            f"dataset has {resolution} and {channels}; train a compact GAN on the dataset, or set null"
        )
    return gan.critic, options
