"""What the command line can do: each task is a short function of the composed configuration.

Every task checks in the same order: options, dataset, generator. Work starts when all of it holds.
"""

import csv
import dataclasses
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import wandb
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils.data import Dataset

from rgi import runs
from rgi.data.module import ImageData, ImageSet
from rgi.errors import InputError
from rgi.generators import store, zoo
from rgi.generators.pca import fit
from rgi.generators.store import GAN, Card
from rgi.inversion.calibration import clean_residuals
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import penalty
from rgi.modules.adversarial import SampleSheets
from rgi.modules.inversion import InversionModule, load, rows
from rgi.report.page import Run, write_report
from rgi.report.pictures import heat, heat_scale, photograph

log = logging.getLogger(__name__)
CALIBRATION_IMAGES = 64
PICTURES = ("observed", "restored", "map", "truth")
WORDS = ("method", "name", "kind", "category")  # columns of per_image.csv that are no numbers

# The solver's defaults live in one place; conf/solver/*.yaml start from them.
ConfigStore.instance().store("base", dataclasses.asdict(SolverConfig()), group="solver")


def main(cfg: DictConfig) -> None:
    """Run ``cfg.task``; bad input prints one line on stderr and exits with status 1."""
    try:
        task = TASKS.get(cfg.task)
        if task is None:
            raise InputError(f"task={cfg.task}: unknown; one of {', '.join(TASKS)}")
        task(cfg)
    except (InputError, InstantiationException, OmegaConfBaseException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if cfg.debug or not isinstance(cause, (InputError, OmegaConfBaseException)):
            raise
        print("error: " + " ".join(str(cause).split()), file=sys.stderr)
        sys.exit(1)
    finally:
        runs.close_run()


def pretrain(cfg: DictConfig) -> None:
    """Train or fit a generator on the dataset's clean images and write it, with its card, to ``generator.path``."""
    images = _images(cfg)
    target = Path(cfg.generator.path)
    if target.exists():
        raise InputError(f"generator.path={target}: exists already; name another file, or move this one away first")
    folder = runs.open_run(cfg)
    if cfg.generator.family == "pca":
        gan = fit(_stack(images.train()), cfg.generator.latent_dim)
    elif cfg.generator.training is None:
        raise InputError(
            f"generator={cfg.generator.family}: is not trained here; convert the authors' checkpoint with "
            "task=convert, or use generator=compact"
        )
    else:
        gan = _train(cfg, images, folder)
    if rank_zero_only.rank:
        return
    card = dataclasses.replace(
        gan.card,
        dataset=HydraConfig.get().runtime.choices.dataset,
        category=images.category,
        terms=images.terms,
        seed=cfg.seed,
        command=" ".join(["python", *sys.argv]),
        residuals=clean_residuals(gan, _stack(images.validation(), CALIBRATION_IMAGES)),
    )
    gan.card = card
    path = store.save_gan(gan, target)
    runs.write_json(folder / "metrics.json", {"steps": card.steps, "residuals": card.residuals})
    print(path)


def _train(cfg: DictConfig, images: ImageSet, folder: Path) -> GAN:
    """Adversarial training, from the newest checkpoint in the folder if there is one."""
    sizes = {"latent_dim": cfg.generator.latent_dim, "channels": images.channels, "resolution": images.resolution}
    options = OmegaConf.to_container(cfg.generator.options, resolve=True)
    architecture = {"family": cfg.generator.family, **sizes, "options": options}
    training = instantiate(cfg.generator.training, **architecture, seed=cfg.seed, _convert_="all")
    checkpoints = ModelCheckpoint(folder / "checkpoints", "{step}", every_n_train_steps=2 * cfg.checkpoint_every)
    trainer = instantiate(
        cfg.trainer,
        logger=_logger(cfg, "pretrain", folder),
        max_steps=2 * cfg.steps,  # Lightning counts the steps of both optimisers
        callbacks=[checkpoints, SampleSheets(folder / "samples", 500)],
    )
    newest = max((folder / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
    data = ImageData(images, cfg.batch_size, cfg.seed, cfg.steps)
    trainer.fit(training, data, ckpt_path=newest, weights_only=True)
    return training.gan(Card(**architecture, steps=training.steps_done))


def invert(cfg: DictConfig) -> None:
    """Invert the test images with one method, score them, and write the report."""
    _solve(cfg, {HydraConfig.get().runtime.choices.solver: cfg.solver}, Trainer.test)


def predict(cfg: DictConfig) -> None:
    """Invert the test images with one method and write the report, without scores."""
    _solve(cfg, {HydraConfig.get().runtime.choices.solver: cfg.solver}, Trainer.predict)


def benchmark(cfg: DictConfig) -> None:
    """Invert the same images with several methods, score them, and compare them in one report."""
    _solve(cfg, dict(cfg.methods), Trainer.test)


def _solve(cfg: DictConfig, solvers: dict[str, DictConfig], loop: Callable[..., Any]) -> None:
    """Run every method on the test images, then write what a run leaves behind."""
    configs = {method: _solver_config(solver) for method, solver in solvers.items()}
    images = _images(cfg)
    gan = _generator(cfg, images)
    for config in configs.values():
        penalty(config, gan)  # may ask for what the card does not hold
    OmegaConf.update(cfg, "generator.sha256", gan.card.sha256, force_add=True)
    folder = runs.open_run(cfg)
    scores, table = {}, []
    for method, config in configs.items():
        results = folder / "results" / method
        module = InversionModule(gan, config, method, results, cfg.map.kind, cfg.map.sigma, cfg.seed)
        logger = _logger(cfg, method, folder)
        # Inference mode would keep the solver from differentiating.
        trainer = instantiate(cfg.trainer, logger=logger, enable_progress_bar=False, inference_mode=False)
        quiet = {"verbose": False} if loop is Trainer.test else {"return_predictions": False}
        loop(trainer, module, datamodule=ImageData(images, cfg.batch_size), **quiet)
        trainer.strategy.barrier()  # every process has written its images
        if trainer.is_global_zero:
            found = rows(results, _names(images), method)
            scores[method] = {name: value.item() for name, value in trainer.callback_metrics.items()}
            scores[method] |= {"images": len(found), "seconds_per_image": fmean(row["seconds"] for row in found)}
            table += found
            _finish_logger(logger, found, scores[method], results)
    if trainer.is_global_zero:
        _write_table(folder / "per_image.csv", table)
        for method, values in scores.items():
            print(f"{method}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        page = _report(folder, cfg.name or cfg.task, scores)
        runs.write_json(folder / "metrics.json", scores)  # last: it marks the run as finished
        print(page)


def report(cfg: DictConfig) -> None:
    """Write the report of a finished run anew."""
    folder = Path(cfg.run)
    if not (folder / "metrics.json").is_file() or not (folder / "per_image.csv").is_file():
        raise InputError(f"run={folder}: holds no finished inversion; start its command again to finish it")
    scores = json.loads((folder / "metrics.json").read_text())
    config = OmegaConf.load(folder / "config.yaml")
    print(_report(folder, config.name or config.task, scores))


def calibrate(cfg: DictConfig) -> None:
    """Measure the generator's residuals on clean validation images and write them to its card."""
    images = _images(cfg)
    gan = _generator(cfg, images)
    residuals = clean_residuals(gan, _stack(images.validation(), CALIBRATION_IMAGES))
    path = store.find_gan(cfg.generator.path)
    store.write_card(dataclasses.replace(gan.card, residuals=residuals), path)
    print(f"{path.with_suffix('.json')}: residuals {residuals}")


def convert(cfg: DictConfig) -> None:
    """Convert the authors' checkpoint ``source`` to the safetensors file ``target``."""
    print(zoo.convert(cfg.source, cfg.target))


def _solver_config(solver: DictConfig) -> SolverConfig:
    return SolverConfig(**OmegaConf.to_container(solver, resolve=True))


def _images(cfg: DictConfig) -> ImageSet:
    """The dataset, checked."""
    images: ImageSet = instantiate(cfg.dataset)
    if rank_zero_only.rank == 0:
        images.prepare()
    return images


def _generator(cfg: DictConfig, images: ImageSet) -> GAN:
    """The generator, which must make images of the dataset's size."""
    path, dataset = Path(cfg.generator.path), HydraConfig.get().runtime.choices.dataset
    if not path.exists() and not (store.SHIPPED / path.name).exists():
        options = [override for override in HydraConfig.get().overrides.task if override.startswith("dataset.")]
        prefix = {"mvtec_ad": "mvtec"}.get(dataset, dataset)
        command = " ".join(["python run.py", f"experiment={prefix}_pretrain", *options])
        raise InputError(f"generator.path={path}: no such file; train it with: {command}")
    gan = store.load_gan(path if path.exists() else path.stem)
    card = gan.card
    if (card.channels, card.resolution) != (images.channels, images.resolution):
        raise InputError(
            f"generator.path={path}: makes {card.resolution} pixels and {card.channels} channels, the dataset has "
            f"{images.resolution} and {images.channels}; "
            f"set dataset.resolution={card.resolution} dataset.channels={card.channels}, or train another generator"
        )
    log.info("%s: %s", path, card.terms or "the terms of its training data are not recorded")
    return gan


def _stack(images: Dataset[torch.Tensor], most: int | None = None) -> torch.Tensor:
    """Images (N,C,H,W) of a dataset, at most so many, evenly spread."""
    count = len(images)
    chosen = range(count) if most is None or most >= count else [i * count // most for i in range(most)]
    return torch.stack([images[i] for i in chosen])


def _names(images: ImageSet) -> list[str]:
    tests = images.test()
    return [tests[i].name[0] for i in range(len(tests))]


def _logger(cfg: DictConfig, method: str, folder: Path) -> Logger:
    """The configured logger; in W&B a run is a method, grouped by dataset."""
    settings: dict[str, Any] = {"save_dir": str(folder)}
    if issubclass(get_class(cfg.logger._target_), WandbLogger):
        settings |= {
            "name": f"{cfg.name or cfg.task}-{method}",
            "group": HydraConfig.get().runtime.choices.dataset,
            "job_type": method,
            "config": OmegaConf.to_container(OmegaConf.create(runs.resolved(cfg)), resolve=True),
        }
    else:
        settings["version"] = method
    return instantiate(cfg.logger, _partial_=True)(**settings)


def _finish_logger(logger: Logger, table: list[dict[str, Any]], scores: dict[str, float], results: Path) -> None:
    """Log the scores and, in W&B, a table of pictures, and end the run so that the next method gets its own."""
    logger.log_metrics(scores)
    if isinstance(logger, WandbLogger):
        logger.log_table("images", columns=["name", "score", *PICTURES], data=_pictures(table, results))
        logger.experiment.finish()
    logger.finalize("success")


def _pictures(table: list[dict[str, Any]], results: Path) -> list[list[Any]]:
    """Rows of a W&B table; the maps share one scale."""
    arrays = [load(results / f"{row['name']}.npz") for row in table]
    scale = heat_scale(each["map"] for each in arrays)
    lines = []
    for row, each in zip(table, arrays, strict=True):
        shown = {name: photograph(each[name]) for name in ("observed", "restored", "truth") if name in each}
        shown["map"] = heat(each["map"], scale)
        pictures = [wandb.Image(shown[name]) if name in shown else None for name in PICTURES]
        lines.append([row["name"], row["score"], *pictures])
    return lines


def _write_table(path: Path, table: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in table for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(table)


def _report(folder: Path, title: str, scores: dict[str, dict[str, float]]) -> Path:
    """The page, from what the folder holds."""
    with (folder / "per_image.csv").open(newline="") as file:
        table = [_numbers(row) for row in csv.DictReader(file)]
    methods = [
        Run(
            method,
            {name.removeprefix("standard/"): value for name, value in values.items()},
            [row for row in table if row["method"] == method],
            folder / "results" / method,
        )
        for method, values in scores.items()
    ]
    environment = json.loads((folder / "environment.json").read_text())
    return write_report(folder, title, methods, (folder / "config.yaml").read_text(), environment=environment)


def _numbers(row: dict[str, str]) -> dict[str, str | float]:
    """A row of ``per_image.csv``; empty cells are left out."""
    return {name: text if name in WORDS else float(text) for name, text in row.items() if text}


TASKS = {task.__name__: task for task in (pretrain, invert, predict, benchmark, report, calibrate, convert)}
