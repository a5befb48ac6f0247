"""The paper's chain: the experiments ``reference/...``, whole and shrunk by the option ``scale``."""

import dataclasses
from functools import cache

import pytest
from helpers.composed import composed
from helpers.published import HOLES, as_published
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from rgi.app.grid import ANOMALY, INPAINTING, grid
from rgi.app.options import solver_config
from rgi.generators import build

DATASETS = ANOMALY | {name: name for name in INPAINTING}  # beginnings of names, and datasets
PRETRAININGS = [f"reference/{prefix}_pretrain" for prefix in DATASETS]
INVERSIONS = [name for name in grid() if name.startswith("reference/") and name not in PRETRAININGS]
STEPS = {16: 240_000, 64: 432_000, 128: 528_000}  # published: 48,000 at 4 pixels, 96,000 at each further scale
LARGEST = 8e6  # bytes of the weights of a shrunk GAN in float32


@cache
def trained(prefix: str, scale: int) -> dict[str, object]:
    """The generator that the pretraining of a dataset makes at a scale."""
    return generator_of(composed(f"experiment=reference/{prefix}_pretrain", f"scale={scale}"))


def generator_of(cfg: DictConfig) -> dict[str, object]:
    """File and network of a configuration's generator."""
    names = ("path", "family", "latent_dim", "options")
    return {name: cfg.generator[name] for name in names} | {"resolution": cfg.dataset.resolution}


def as_configured(cfg: DictConfig) -> dict:
    """All fields of a configuration's solver, after all checks."""
    return dataclasses.asdict(solver_config(cfg.solver, "", "invert"))


@pytest.mark.parametrize("prefix", DATASETS)
def test_the_published_training_grows_to_any_scale(prefix):
    cfg = composed(f"experiment=reference/{prefix}_pretrain")
    assert HydraConfig.get().runtime.choices.dataset == DATASETS[prefix]
    assert (cfg.task, cfg.scale) == ("pretrain", 64 if prefix == "textures" else 128)
    for scale in {16, 64, cfg.scale}:
        cfg.scale = scale
        assert (cfg.steps, cfg.batch_size, cfg.generator.encoder) == (STEPS[scale], 16, None)
        training = cfg.generator.training
        assert (training.lr, training.betas, training.ema) == (1e-3, [0, 0.99], 0.999)
        sizes = {"latent_dim": cfg.generator.latent_dim, "resolution": cfg.dataset.resolution}
        if scale == 128:
            assert {**sizes, **cfg.generator.options} == {"latent_dim": 512, "resolution": 128, "widths": None}
        else:
            networks = build("progressive", **sizes, channels=cfg.dataset.channels, **cfg.generator.options)
            assert 4 * sum(value.numel() for each in networks for value in each.state_dict().values()) < LARGEST


@pytest.mark.parametrize("name", INVERSIONS)
def test_a_reference_experiment_fits_the_papers_table_and_its_own_pretraining(name):
    """At the published scale and at 64 pixels, where only the critic's weight differs."""
    cfg = composed(f"experiment={name}")
    choices = HydraConfig.get().runtime.choices
    (prefix,) = (each for each in DATASETS if name.startswith(f"reference/{each}_"))
    short = name.removeprefix(f"reference/{prefix}_")
    corruption, _, short = short.partition("_") if prefix in INPAINTING else ("", "", short)
    method = {"rrgi": "r_rgi"}.get(short, short)
    assert (cfg.name, choices.dataset) == (name, DATASETS[prefix])
    for scale in {cfg.scale, 64}:
        cfg.scale = scale
        assert generator_of(cfg) == trained(prefix, scale)
        expected = as_published(method, f"{prefix}_{corruption}" if corruption else "anomaly")
        found = as_configured(cfg) | {"critic_weight": cfg.solver.critic_weight * 128 / scale}
        assert {field: found[field] for field in expected} == expected
        if corruption:
            hole = instantiate(cfg.corruption)
            assert hole.fill == "dark"
            assert hole.region("any", scale).sum() == round(HOLES[prefix][corruption] * (scale / 128) ** 2)
