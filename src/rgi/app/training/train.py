"""The tasks that train: pretrain and encode.

Every task checks in the same order: options, dataset, generator. Work starts when all checks have passed.
"""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor, nn
from torch.utils.data import Dataset

from rgi.app import logs, run_files, runs
from rgi.app.dry_run import training_plan
from rgi.app.options import generator_file, make, path_option, prepare, solver_config
from rgi.app.training.fit import FITS, fitted
from rgi.app.training.sample_scores import copies_and_imagenet, scores_of_fit
from rgi.app.training.trained_on import same_images, training_data
from rgi.data.protocol import ImageSet, stack_images
from rgi.errors import InputError
from rgi.evaluation.clean_residuals import CALIBRATION_IMAGES, CleanResiduals, clean_residuals
from rgi.generators import places, store
from rgi.generators.store import GAN, Card
from rgi.inversion.config import SolverConfig
from rgi.training.adversarial import AdversarialTraining, AtomicCheckpoints, read_checkpoint
from rgi.training.encoder import EncoderTraining
from rgi.training.judging import Judge, final_quality
from rgi.training.loader import TrainingData
from rgi.training.progress import TrainingProgress

log = logging.getLogger(__name__)
UNFINISHED = "generator.safetensors"  # name in the run's folder: the generator before encoder and calibration


class Plan(NamedTuple):
    """Modules of a training.

    Attributes:
        training: training of the generator.
        encoder: training of the encoder; None without an encoder.
        card: card of the generator.
        features: feature extractor for FID and KID; None without these scores.
    """

    training: AdversarialTraining
    encoder: EncoderTraining | None
    card: Card
    features: nn.Module | None


def pretrain(cfg: DictConfig) -> None:
    """Train or fit a generator on the dataset's clean images and write it, with its card, to ``generator.path``.

    If the file exists, the training continues from it until ``steps``. The file stays as it is if no later state
    inverts held-out images better.
    """
    calibration = solver_config(cfg.solver, "", cfg.task)
    images = make(cfg, "dataset")
    plan = None if cfg.generator.family in FITS else _plan(cfg, images)
    target = _target(cfg)
    prepare(cfg, images, tests=False)
    clean, held_out = images.train(), images.validation()  # too few images are an error here, before the training
    published = target.exists() and _published(cfg, target)
    if target.exists() and not published:
        _continue_from(cfg, plan, target, images)
    if cfg.dry_run:
        print(training_plan.of_pretrain(cfg, images, target, plan and (plan.training, plan.encoder, plan.card)))
        return
    run_files.check_writable(f"generator.path={target}", target.parent)
    runs.claim(target.with_name(f".{target.name}.lock"), f"generator.path={target}: another training writes it")
    make(cfg, "trainer", logger=False)
    gan = fitted(cfg, clean) if plan is None else None
    folder, facts = runs.open_run(cfg), _facts(cfg, images)
    if plan is not None and not published:
        plan = plan._replace(card=dataclasses.replace(plan.card, **facts))
        gan = _train(cfg, plan, clean, held_out, folder)
    if rank_zero_only.rank:
        return
    if gan is None or published:
        reason = "was written before a kill" if published else "no later state inverts held-out images better"
        log.info("%s: stays as it is, because %s", target, reason)
        card = store.read_card(target)
        store.write_card(card, target)  # a kill may have left it under its temporary name
    else:
        if plan is None:
            scores = scores_of_fit(gan, clean, held_out, cfg.judge.samples, cfg.seed)
            gan.card = dataclasses.replace(gan.card, quality=scores)
        card = gan.card = dataclasses.replace(gan.card, **facts, **_measured(cfg, gan, calibration, images))
        _keep(gan, folder)
        store.save_gan(gan, target)
    measured = {"steps": card.steps, **CleanResiduals.of(card)._asdict(), "quality": card.quality}
    trained = {} if plan is None else {"steps_trained": plan.training.steps}
    run_files.write_json(folder / "metrics.json", measured | trained)
    print(target)
    logs.log_trained(cfg, card.quality)
    logs.raise_failures(folder)


def _measured(cfg: DictConfig, gan: GAN, config: SolverConfig, images: ImageSet) -> dict[str, Any]:
    """What the card says about the finished generator: residuals and quality on held-out images."""
    held_out = images.validation()
    calibration_images = stack_images(held_out, CALIBRATION_IMAGES)
    residuals = clean_residuals(gan, calibration_images, config, counted=images.counted)
    return residuals._asdict() | {"quality": final_quality(gan, stack_images(held_out, cfg.judge.images))}


def _facts(cfg: DictConfig, images: ImageSet) -> dict[str, Any]:
    """What the card says about the training data and the command."""
    return {
        "dataset": HydraConfig.get().runtime.choices.dataset,
        "category": images.category,
        "terms": images.terms,
        "training_data": training_data(images),
        "patch": images.patch,
        "seed": cfg.seed,
        "command": " ".join(["python", *sys.argv]),
    }


def _plan(cfg: DictConfig, images: ImageSet) -> Plan:
    """The training of the generator and its encoder, with new networks."""
    if cfg.generator.training is None:
        raise InputError("generator.training=null: is missing; set it as in conf/generator/compact.yaml")
    architecture = {
        "family": cfg.generator.family,
        "latent_dim": cfg.generator.latent_dim,
        "channels": images.channels,
        "resolution": images.resolution,
        "options": OmegaConf.to_container(cfg.generator.options, resolve=True),
    }
    torch.manual_seed(cfg.seed)  # of the initial weights
    training = make(cfg, "generator.training", **architecture, steps=cfg.steps, seed=cfg.seed, _convert_="all")
    card = Card(**architecture)
    return Plan(training, _encoder_training(cfg, training.current_gan(card)), card, make(cfg, "judge.features"))


def _encoder_training(cfg: DictConfig, gan: GAN) -> EncoderTraining | None:
    """The training of an encoder for a GAN; None with ``generator.encoder=null``."""
    if cfg.generator.encoder is None:
        return None
    torch.manual_seed(cfg.seed)  # of the initial weights
    # Hydra would convert the GAN, a dataclass, to a configuration. A partial object takes the GAN unchanged.
    return make(cfg, "generator.encoder", _partial_=True)(gan=gan, seed=cfg.seed)


def _target(cfg: DictConfig) -> Path:
    """The file that the generator is written to."""
    target = path_option(cfg, "generator.path")
    if target.suffix != ".safetensors":
        raise InputError(f"generator.path={target}: must end in .safetensors; name another file")
    places.check_own(f"generator.path={target}", target)
    return target


def _published(cfg: DictConfig, target: Path) -> bool:
    """Whether an unfinished run of this configuration has written the existing generator file, and was then killed."""
    folder = runs.interrupted(cfg)
    if folder is None or not (folder / UNFINISHED).exists():
        return False
    return store.sha256(folder / UNFINISHED) == store.sha256(target)


def _continue_from(cfg: DictConfig, plan: Plan | None, target: Path, images: ImageSet) -> None:
    """Load the weights of the existing generator file into the training."""
    exists = f"generator.path={target}: exists already"
    if plan is None:
        raise InputError(f"{exists}; name another file, or move this file away first")
    gan = store.load_gan(target)
    if not same_images(gan.card, images):
        raise InputError(f"{exists}, trained on other images; name another generator.path, or move the file away")
    if gan.card.steps >= cfg.steps:
        raise InputError(
            f"{exists}, trained for {gan.card.steps} steps; set a higher number of steps=..., name another file, "
            "or move this file away first"
        )
    try:
        plan.training.start_from(gan)
    except InputError as error:
        raise InputError(f"{exists}, but {error}") from error
    log.info("training continues from %s after %d of %d steps", target, gan.card.steps, cfg.steps)


def _train(cfg: DictConfig, plan: Plan, clean: Dataset[Tensor], held_out: Dataset[Tensor], folder: Path) -> GAN | None:
    """Train the generator, then its encoder; returns the best GAN, or None if the training continued from it."""
    training, judging = plan.training, cfg.judge
    judge = Judge(
        folder,
        judging.every,
        stack_images(held_out, judging.images),
        stack_images(clean, judging.samples),
        plan.card,
        plan.features,
    )
    _fit(cfg, training, folder, "newest", TrainingData(clean, cfg.batch_size, cfg.steps, cfg.seed), [judge])
    gan = _best(training, judge, plan.card)
    if training.continues and gan.card.steps == training.first_step:
        return None
    _keep(gan, folder)
    _add_encoder(cfg, gan, plan.encoder, folder)
    _keep(gan, folder)
    if rank_zero_only.rank == 0:
        quality = gan.card.quality | copies_and_imagenet(training.samples(judging.samples), clean, held_out)
        gan.card = dataclasses.replace(gan.card, quality=quality)
    return gan


def _keep(gan: GAN, folder: Path) -> None:
    """Save the GAN in the run's folder, so that an error in a later part of the training cannot lose it."""
    if rank_zero_only.rank == 0:
        store.save_gan(gan, folder / UNFINISHED)


def _best(training: AdversarialTraining, judge: Judge, card: Card) -> GAN:
    """The GAN with the lowest inversion gap; the scores of all states are written to ``training.csv``."""
    best = min(judge.rows, key=lambda row: row["inversion_gap"])
    training.load_state_dict(read_checkpoint(judge.best)["state_dict"])
    pd.DataFrame(judge.rows).to_csv(judge.folder / "training.csv", index=False)
    quality = {name: value for name, value in best.items() if name != "step" and not name.endswith("_loss")}
    return training.gan(dataclasses.replace(card, steps=int(best["step"]), quality=quality))


def _add_encoder(cfg: DictConfig, gan: GAN, training: EncoderTraining | None, folder: Path) -> None:
    """Train the encoder and add it to the GAN."""
    if training is not None:
        training.gan = gan
        _fit(cfg, training, folder, "encoder")
        gan.encoder = training.trained_encoder().to(gan.device)
        gan.card = dataclasses.replace(gan.card, encoder=training.options)


def _fit(
    cfg: DictConfig,
    training: AdversarialTraining | EncoderTraining,
    folder: Path,
    name: str,
    data: TrainingData | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Run a training; it continues from its checkpoint in the folder, if the checkpoint exists."""
    newest = folder / "checkpoints" / f"{name}.ckpt"
    kind, batch_size = ("encode", training.batch_size) if name == "encoder" else ("pretrain", cfg.batch_size)
    resumed, done = (newest if newest.exists() else None), None
    if resumed is not None:
        done = read_checkpoint(newest, mmap=True)["global_step"]
        log.info("continuing from %s, step %d", newest, done)
    checkpoints = ModelCheckpoint(
        newest.parent, name, every_n_train_steps=cfg.checkpoint_every, enable_version_counter=False
    )
    logs.close_loggers()  # of the training before this one
    trainer = make(
        cfg,
        "trainer",
        logger=logs.method_logger(cfg, kind, folder, done) or False,
        max_steps=training.steps - training.steps_done,
        callbacks=[checkpoints, TrainingProgress(kind, batch_size), *callbacks],
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=False,
    )
    training.train()  # making the current GAN may have set evaluation mode
    try:
        trainer.fit(training, datamodule=data, ckpt_path=resumed, weights_only=True)
    except InputError as error:
        kept = f" (the last good checkpoint is {newest})" if newest.exists() else ""
        raise InputError(f"{error}{kept}") from error


def encode(cfg: DictConfig) -> None:
    """Train an encoder for the generator and write it into the generator's file; an older encoder is replaced.

    A shipped generator stays as it is: the file with the encoder is a new one in `rgi.generators.places.LOCAL`.
    """
    if cfg.generator.encoder is None:
        raise InputError("generator.encoder=null: is missing; set it as in conf/generator/compact.yaml")
    file = generator_file(cfg)
    gan, path = store.load_gan(file), places.own_file(file)
    training = _encoder_training(cfg, gan)
    if cfg.dry_run:
        print(training_plan.of_encode(cfg, training, path))
        return
    run_files.check_writable(f"generator.path={path}", path.parent)
    folder = runs.open_run(cfg)
    _add_encoder(cfg, gan, training, folder)
    if rank_zero_only.rank == 0:
        store.save_gan(gan, path)
        run_files.write_json(folder / "metrics.json", {"encoder_steps": training.steps})
        print(path)
        logs.log_trained(cfg, {})
        logs.raise_failures(folder)
