"""The paper's chain: the generated experiments ``reference/...``, from the training of a GAN to the scores.

The option ``scale`` is the number of pixels of the whole chain: 128 in the paper. A smaller scale shrinks all parts:

- Images and generator have ``scale`` pixels. The holes are shares of the image, so they shrink as well.
- The training has as many steps at each scale of the progressive GAN as the published one, but fewer scales.
- The networks have the widths `WIDTHS` and the latent dimension `LATENT_DIM`, a quarter to an eighth of the paper's.
- Data term and mask penalty of an inversion are sums over all values of an image, so λ is per value and stays as it is.
  The critic's term is one number per image. Its gradient has the norm 1 by the critic's training, whereas the norm of
  the data term's gradient grows like the side of the image. So the critic's weight is multiplied by scale / 128.
- Batch size, learning rates, numbers of steps and pool of an inversion stay as they are.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rgi.errors import InputError
from rgi.validation import check, one_of

FAMILY = "progressive"
PUBLISHED_SCALE = 128
SCALES = (16, 32, 64, PUBLISHED_SCALE)
WIDTHS = (128, 128, 64, 32, 16)  # below the published scale, at 4, ..., 64 pixels; smaller scales take the last
LATENT_DIM = 128  # below the published scale
PUBLISHED_LATENT_DIM = 512
STEPS = 48_000  # steps at 4 pixels; each further scale of the progressive GAN has twice as many
TEXTURES_SCALE = 64  # the patches of the dataset textures have no other size


def pretraining(dataset: str) -> dict[str, Any]:
    """Content of ``reference/<dataset>_pretrain``: the published training of the progressive GAN.

    Args:
        dataset: file of conf/dataset.
    """
    training = {"steps": "${chain_steps:${scale}}", "batch_size": 16, "checkpoint_every": 2000}
    choices = [{"override /task": "pretrain"}, *_choices(dataset)]
    content = {"defaults": choices} | training | {"judge": {"every": 8000}} | _scaled(dataset)
    content["generator"]["encoder"] = None  # the paper's start is a pool
    return content


def inversion(dataset: str, **choices: str) -> dict[str, Any]:
    """Content of a reference experiment that reads the generator of ``reference/<dataset>_pretrain``.

    Args:
        dataset: file of conf/dataset.
        choices: choices of further groups.
    """
    groups = [*_choices(dataset), *({f"override /{group}": choice} for group, choice in choices.items())]
    return {"defaults": groups} | _scaled(dataset)


def _choices(dataset: str) -> list[dict[str, str]]:
    return [{"override /dataset": dataset}, {"override /generator": FAMILY}]


def _scaled(dataset: str) -> dict[str, Any]:
    """The options that training and inversion share, so that both name the same file."""
    return {
        "scale": TEXTURES_SCALE if dataset == "textures" else PUBLISHED_SCALE,
        "dataset": {"resolution": "${scale}"},
        "generator": {
            "latent_dim": "${chain_latent_dim:${scale}}",
            "options": {"widths": "${chain_widths:${scale}}"},
        },
    }


def _steps(scale: int) -> int:
    further = scale.bit_length() - 3  # scales above 4 pixels
    return STEPS * (1 + 2 * further)


def _widths(scale: int) -> list[int] | None:
    return None if scale == PUBLISHED_SCALE else list(WIDTHS[-(scale.bit_length() - 2) :])


def _latent_dim(scale: int) -> int:
    return PUBLISHED_LATENT_DIM if scale == PUBLISHED_SCALE else LATENT_DIM


def _critic_weight(published: float, scale: int) -> float:
    return published * scale / PUBLISHED_SCALE


def check_chain(cfg: DictConfig) -> None:
    """Check that dataset and generator of a reference experiment have the chain's scale and family.

    Raises:
        InputError: the scale is unknown, or an option does not fit the chain.
    """
    if "scale" not in cfg:
        return
    check("scale", cfg.scale, one_of(*SCALES))
    if cfg.dataset.resolution != cfg.scale:
        raise InputError(
            f"dataset.resolution={cfg.dataset.resolution}: experiment={cfg.name} has {cfg.scale} pixels; set scale to "
            f"one of {', '.join(map(str, SCALES))} instead"
        )
    if cfg.generator.family != FAMILY:
        raise InputError(
            f"generator.family={cfg.generator.family}: experiment={cfg.name} needs the {FAMILY} GAN; remove "
            "generator=..., or choose solver=reference/... and paper=... without this experiment"
        )


def check_generator(cfg: DictConfig, card: Any, critic: Any, path: Path) -> None:
    """Check that a generator's file is one of the chain, if the experiment is a reference experiment.

    Args:
        cfg: configuration.
        card: card of the generator.
        critic: critic in the file, or None.
        path: the file, for the error message.

    Raises:
        InputError: the generator has another family or scale, or no critic.
    """
    if "scale" not in cfg:
        return
    found = f"{card.family}, {card.resolution} pixels, {'no' if critic is None else 'a'} critic"
    if found != (needed := f"{FAMILY}, {cfg.scale} pixels, a critic"):
        raise InputError(
            f"generator.path={path}: does not suit experiment={cfg.name} ({found}; needed: {needed}); name the file "
            "that reference/..._pretrain writes at this scale"
        )


def register() -> None:
    """Register the resolvers that the contents use; required before Hydra composes a configuration."""
    for function in (_steps, _widths, _latent_dim, _critic_weight):
        OmegaConf.register_new_resolver(f"chain{function.__name__}", function, replace=True)
