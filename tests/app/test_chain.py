"""The paper's chain: the experiments ``reference/...``, whole and shrunk by the option ``scale``."""

import dataclasses
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from helpers.composed import composed
from helpers.published import HOLES, as_published
from helpers.tiny_sets import CELEBA_TEST, TILE_TEST, write_celeba, write_generator, write_magnetic_tile
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from rgi import invert, load_gan
from rgi.app.grid import ANOMALY, INPAINTERS, INPAINTING, SOLVERS, grid
from rgi.app.main import run_task
from rgi.app.options import solver_config
from rgi.app.training import train
from rgi.errors import InputError
from rgi.evaluation import modules
from rgi.generators import build
from rgi.generators.store import save_gan

DATASETS = ANOMALY | {name: name for name in INPAINTING}  # beginnings of names, and datasets
PRETRAININGS = [f"reference/{prefix}_pretrain" for prefix in DATASETS]
INVERSIONS = [name for name in grid() if name.startswith("reference/") and name not in PRETRAININGS]
STEPS = {16: 240_000, 64: 432_000, 128: 528_000}  # published: 48,000 at 4 pixels, 96,000 at each further scale
LARGEST = 8e6  # bytes of the weights of a shrunk GAN in float32
SHORT = {"iterations": 3, "pool_size": 8, "tune_from": 1, "freeze_mask_from": 2}  # options of a short inversion
CASES = {  # beginning of experiments: dataset, its test images, methods, constants of the paper
    "celeba_central": (write_celeba, CELEBA_TEST, INPAINTERS, "celeba_central"),
    "magnetic_tile": (write_magnetic_tile, TILE_TEST, SOLVERS, "anomaly"),
}


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


def test_the_chain_has_all_tables_of_the_paper():
    kinds = ("crack", "irregular", "large", "scratch")
    holes = {f"{dataset}_{hole}" for dataset in HOLES for hole in HOLES[dataset]}
    anomalies = {*ANOMALY, *(f"btad_{kind}" for kind in kinds)}
    names = {f"{each}_{method}" for each in holes for method in INPAINTERS}
    assert {*INVERSIONS} == {f"reference/{name}" for name in names | {f"{a}_{m}" for a in anomalies for m in SOLVERS}}


@pytest.mark.parametrize("name", INVERSIONS)
def test_a_reference_experiment_fits_the_papers_table_and_its_own_pretraining(name):
    """At the published scale and at 64 pixels, where only the critic's weight differs."""
    cfg = composed(f"experiment={name}")
    choices = HydraConfig.get().runtime.choices
    (prefix,) = (each for each in DATASETS if name.startswith(f"reference/{each}_"))
    short = name.removeprefix(f"reference/{prefix}_")
    corruption, _, short = short.partition("_") if choices.corruption else ("", "", short)
    method = {"rrgi": "r_rgi"}.get(short, short)
    assert (cfg.name, choices.dataset) == (name, DATASETS[prefix])
    for scale in {cfg.scale, 64}:
        cfg.scale = scale
        assert generator_of(cfg) == trained(prefix, scale)
        expected = as_published(method, f"{prefix}_{corruption}" if corruption else "anomaly")
        found = as_configured(cfg) | {"critic_weight": cfg.solver.critic_weight * 128 / scale}
        assert {field: found[field] for field in expected} == expected
        if prefix == "btad" and corruption:
            painted = f"reference/painted_{corruption}"
            assert (cfg.dataset.category, choices.corruption, cfg.corruption.kinds) == ("03", painted, [corruption])
        elif corruption:
            hole = instantiate(cfg.corruption)
            assert hole.fill == "dark"
            assert hole.region("any", scale).sum() == round(HOLES[prefix][corruption] * (scale / 128) ** 2)


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """Arguments of each inversion of test images."""
    found = []

    def recorded(*arguments, **options):
        found.append((*arguments, options))
        return invert(*arguments, **options)

    monkeypatch.setattr(modules, "invert", recorded)
    monkeypatch.setattr(train, "CALIBRATION_IMAGES", 2)
    monkeypatch.setattr(train, "copies_and_imagenet", lambda *_: {})  # slow, and no part of the chain
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_chain_runs_from_the_training_to_the_scores(case, tmp_path, monkeypatch, calls):
    """Every method reads the file that the pretraining wrote, with its critic, and has the paper's constants."""
    write, names, methods, paper = CASES[case]
    monkeypatch.chdir(tmp_path)
    common = [f"dataset.root={write(tmp_path / 'data')}", "scale=16", "debug=true"]
    training = [f"experiment=reference/{case.removesuffix('_central')}_pretrain", "steps=5", "batch_size=4"]
    run_task(composed(*training, "judge.every=5", "judge.images=2", "judge.samples=16", *common))
    (file,) = Path("data/generators/local").glob("*.safetensors")
    kept = load_gan(file)
    assert (kept.card.family, kept.card.resolution, kept.card.options) == ("progressive", 16, {"widths": [64, 32, 16]})
    for short, method in methods.items():
        calls.clear()
        name, published = f"reference/{case}_{short}", as_published(method, paper)
        shortened = {field: few for field, few in SHORT.items() if published.get(field) is not None}
        run_task(
            composed(f"experiment={name}", *(f"solver.{field}={few}" for field, few in shortened.items()), *common)
        )
        expected = published | shortened | {"critic_weight": published["critic_weight"] / 8}
        assert calls
        for gan, observed, config, options in calls:
            assert gan.card.sha256 == kept.card.sha256
            assert gan.critic(observed).equal(kept.critic(observed))
            used = dataclasses.asdict(config)
            assert {field: used[field] for field in expected} == expected
            assert "latent_start" not in options
            assert config.mask != "given" or options["given_mask"].sum() == 8 * 8 * len(observed)
        (run,) = Path("outputs", name).iterdir()
        assert {*pd.read_csv(run / "per_image.csv", dtype=str)["name"]} == {*names}
        assert {"reference", "standard"} <= {*pd.read_csv(run / "table.csv")["protocol"]}


NEEDED = r"needed: progressive, 32 pixels, a critic\); name the file that reference/\.\.\._pretrain writes"


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ("scale=50", "scale=50: must be one of 16, 32, 64, 128"),
        ("dataset.resolution=64", "dataset.resolution=64: .* has 32 pixels; set scale to one of 16, 32, 64, 128"),
        ("generator=compact", "generator.family=compact: .* needs the progressive GAN; remove generator="),
        ("generator.path=compact.safetensors", rf"compact\.saf.* \(compact, 32 pixels, a critic; {NEEDED}"),
        ("generator.path=larger.safetensors", rf"larger\.saf.* \(progressive, 64 pixels, a critic; {NEEDED}"),
        ("generator.path=alone.safetensors", rf"alone\.saf.* \(progressive, 32 pixels, no critic; {NEEDED}"),
    ],
)
def test_what_does_not_belong_to_the_chain_is_refused(options, refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, family, resolution in (("compact", "compact", 32), ("larger", "progressive", 64)):
        write_generator(Path(f"{name}.safetensors"), 3, resolution, family=family)
    gan = load_gan(write_generator(Path("alone.safetensors"), 3, family="progressive", resolution=32))
    gan.critic = None
    save_gan(gan, "alone.safetensors")
    data = f"dataset.root={write_celeba(tmp_path / 'data')}"
    with pytest.raises(InputError, match=refusal):
        run_task(composed("experiment=reference/celeba_central_rgi", data, "scale=32", "debug=true", options))
