"""What the command line can do: each task is a short function of the composed configuration.

Every task checks in the same order: options, dataset, generator. Work starts when all of it holds.
"""

import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils.data import Dataset

from rgi import benchmark as tables
from rgi import experiments, runs
from rgi import recovery as known_truth
from rgi.clean import JUDGED, fix_threshold, judge_by_clean, rehearse_judging
from rgi.data.module import ImageData, ImageSet, spread
from rgi.errors import InputError
from rgi.generators import store, zoo
from rgi.generators.pca import fit
from rgi.generators.store import GAN, Card
from rgi.inversion.calibration import clean_residuals
from rgi.inversion.config import SolverConfig
from rgi.metrics.generative import memorisation
from rgi.modules.adversarial import AdversarialTraining, AtomicCheckpoints
from rgi.modules.inversion import BaselineModule, InversionModule, TestModule, rows
from rgi.modules.judging import Judge, TrainingProgress
from rgi.modules.regression import EncoderTraining
from rgi.options import (
    baseline,
    check_options,
    generator,
    generator_file,
    image_set,
    make,
    path_option,
    rehearse,
    solver_config,
)
from rgi.record import finish_logger, long_form, method_logger, write_page, write_table

log = logging.getLogger(__name__)
experiments.register()
CALIBRATION_IMAGES = 64
SHOWN = (  # of the scores, on the last lines that a run prints; metrics.json has all
    *(f"standard/{name}" for name in ("pixel_auroc", "aupro", "pixel_ap", "best_f1", "image_auroc", "psnr", "ssim")),
    "images",
    "seconds_per_image",
)
FITTED_IMAGES = 5000  # plenty for the few hundred directions of a PCA, and no burden on memory
COMPARED_IMAGES = 20000  # training images among which a sample's nearest is looked for


def main(cfg: DictConfig) -> None:
    """Run ``cfg.task``; bad input prints one line on stderr and exits with status 1."""
    try:
        task = TASKS.get(cfg.task)
        if task is None:
            raise InputError(f"task={cfg.task}: unknown; one of {', '.join(TASKS)}")
        cfg.name = str(cfg.name or cfg.task)
        cfg.output_dir = None if cfg.output_dir is None else str(cfg.output_dir)
        check_options(cfg)
        task(cfg)
        wandb.finish()  # so that the next job of a sweep does not go on in this run
    except (InputError, OmegaConfBaseException) as error:
        if cfg.debug:
            raise
        missing = isinstance(error, MissingMandatoryValue)
        message = f"{error.full_key}: not given; add {error.full_key}=..." if missing else str(error)
        print("error: " + " ".join(message.split()), file=sys.stderr)
        sys.exit(1)
    finally:
        runs.close_run()


def pretrain(cfg: DictConfig) -> None:
    """Train or fit a generator on the dataset's clean images and write it, with its card, to ``generator.path``.

    A generator that is there already is trained on until it has had ``steps``.
    """
    calibrated = solver_config(cfg.solver, "", cfg.task)
    images = make(cfg, "dataset")
    training = None if cfg.generator.family == "pca" else _training(cfg, images)
    draft = None if training is None else training.draft(Card(**_architecture(cfg, images)))
    encoder = None if draft is None else _encoder_training(cfg, draft)
    features = make(cfg, "judge.features")
    target = path_option(cfg, "generator.path")
    if target.suffix != ".safetensors":
        raise InputError(f"generator.path={target}: must end in .safetensors")
    _prepare(images)
    clean, held_out = images.train(), images.validation()  # too few of them must not come out after hours
    if target.exists():
        _go_on(cfg, training, target)
    runs.check_writable(f"generator.path={target}", target.parent)
    runs.claim(target.with_name(f".{target.name}.lock"), f"generator.path={target}: another training will write it")
    make(cfg, "trainer", logger=False)
    gan = fit(_stack(clean, FITTED_IMAGES), cfg.generator.latent_dim, seed=cfg.seed) if training is None else None
    folder = runs.open_run(cfg)
    report: dict[str, Any] = {}
    if training is not None:
        real, gap_images = _stack(clean, cfg.judge.samples), _stack(held_out, cfg.judge.images)
        judge = Judge(folder, cfg.judge.every, gap_images, real, draft.card, features)
        _fit(cfg, training, folder, "newest", ImageData(images, cfg.batch_size, cfg.seed, cfg.steps), [judge])
        gan, report = _best(training, judge, draft.card)
        _add_encoder(cfg, gan, encoder, folder)
    if rank_zero_only.rank:
        return
    card = dataclasses.replace(
        gan.card,
        dataset=HydraConfig.get().runtime.choices.dataset,
        category=images.category,
        terms=images.terms,
        seed=cfg.seed,
        command=" ".join(["python", *sys.argv]),
        residuals=clean_residuals(gan, _stack(held_out, CALIBRATION_IMAGES), calibrated),
    )
    if training is not None:
        seen = memorisation(training.samples(cfg.judge.samples), _stack(held_out), _stack(clean, COMPARED_IMAGES))
        card = dataclasses.replace(card, quality={**card.quality, **seen})
    gan.card = card
    path = store.save_gan(gan, target)
    found = {"steps": card.steps, "residuals": card.residuals, "quality": card.quality}
    runs.write_json(folder / "metrics.json", found | report)
    print(path)


def _training(cfg: DictConfig, images: ImageSet) -> AdversarialTraining:
    """The networks and how they are trained."""
    if cfg.generator.training is None:
        raise InputError("generator.training=null: says how to train it; see conf/generator/compact.yaml")
    torch.manual_seed(cfg.seed)  # of the initial weights
    settings = {**_architecture(cfg, images), "steps": cfg.steps, "seed": cfg.seed}
    return make(cfg, "generator.training", **settings, _convert_="all")


def _architecture(cfg: DictConfig, images: ImageSet) -> dict[str, Any]:
    sizes = {"latent_dim": cfg.generator.latent_dim, "channels": images.channels, "resolution": images.resolution}
    options = OmegaConf.to_container(cfg.generator.options, resolve=True)
    return {"family": cfg.generator.family, **sizes, "options": options}


def _go_on(cfg: DictConfig, training: AdversarialTraining | None, target: Path) -> None:
    """Begin with the generator that is there."""
    known = f"generator.path={target}: exists already"
    if training is None:
        raise InputError(f"{known}; name another file, or move this one away first")
    gan = store.load_gan(target)
    if gan.card.steps >= cfg.steps:
        raise InputError(
            f"{known}, trained for {gan.card.steps} steps; ask for more with steps=..., name another file, or move "
            "this one away first"
        )
    try:
        training.start_from(gan)
    except InputError as error:
        raise InputError(f"{known}, but {error}") from error
    log.info("training on from %s, which has had %d of %d steps", target, gan.card.steps, cfg.steps)


def _best(training: AdversarialTraining, judge: Judge, card: Card) -> tuple[GAN, dict[str, Any]]:
    """The state with the lowest inversion gap, and what is reported of the way to it."""
    best = min(judge.rows, key=lambda row: row["inversion_gap"])
    training.load_state_dict(torch.load(judge.best, map_location="cpu", weights_only=True)["state_dict"])
    write_table(judge.folder / "training.csv", judge.rows)
    quality = {name: value for name, value in best.items() if name != "step" and not name.endswith("_loss")}
    card = dataclasses.replace(card, steps=int(best["step"]), quality=quality)
    return training.gan(card), {"steps_trained": training.steps}


def _encoder_training(cfg: DictConfig, gan: GAN) -> EncoderTraining | None:
    """How an encoder for this GAN is trained, or None if there is to be none."""
    if cfg.generator.encoder is None:
        return None
    torch.manual_seed(cfg.seed)  # of the initial weights
    # Partial, since Hydra would turn a GAN, which is a dataclass, into a configuration.
    return make(cfg, "generator.encoder", _partial_=True)(gan=gan, seed=cfg.seed)


def _add_encoder(cfg: DictConfig, gan: GAN, training: EncoderTraining | None, folder: Path) -> None:
    """Train the encoder and give it to the GAN."""
    if training is not None:
        _fit(cfg, training, folder, "encoder")
        gan.encoder = training.trained()
        gan.card = dataclasses.replace(gan.card, encoder=training.options)


def _fit(
    cfg: DictConfig,
    training: AdversarialTraining | EncoderTraining,
    folder: Path,
    name: str,
    data: ImageData | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Run a training, from its checkpoint in the folder if there is one."""
    newest = folder / "checkpoints" / f"{name}.ckpt"
    kind, batch_size = ("encode", training.batch_size) if name == "encoder" else ("pretrain", cfg.batch_size)
    logged = kind
    if newest.exists():
        done = torch.load(newest, map_location="cpu", weights_only=True, mmap=True)["global_step"]
        log.info("continuing from %s, step %d", newest, done)
        logged = f"{kind}_from_{done}"  # Lightning's CSV logger deletes what it finds
    checkpoints = ModelCheckpoint(
        newest.parent, name, every_n_train_steps=cfg.checkpoint_every, enable_version_counter=False
    )
    trainer = make(
        cfg,
        "trainer",
        logger=method_logger(cfg, logged, folder),
        max_steps=training.steps - training.steps_done,
        callbacks=[checkpoints, TrainingProgress(kind, batch_size), *callbacks],
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=False,
    )
    resumed = newest if newest.exists() else None
    training.train()  # a draft of the generator may have been looked at
    try:
        trainer.fit(training, datamodule=data, ckpt_path=resumed, weights_only=True)
    except InputError as error:
        kept = f" (the last good checkpoint is {newest})" if newest.exists() else ""
        raise InputError(f"{error}{kept}") from error
    wandb.finish()  # so that the next training gets a run of its own


def encode(cfg: DictConfig) -> None:
    """Train an encoder for a generator that has none, or another one, and write it into the generator's file."""
    if cfg.generator.encoder is None:
        raise InputError("generator.encoder=null: says how to train one; see conf/generator/compact.yaml")
    path = generator_file(cfg)
    gan = store.load_gan(path)
    training = _encoder_training(cfg, gan)
    runs.check_writable(f"generator.path={path}", path.parent)
    folder = runs.open_run(cfg)
    _add_encoder(cfg, gan, training, folder)
    if rank_zero_only.rank == 0:
        store.save_gan(gan, path)
        runs.write_json(folder / "metrics.json", {"encoder_steps": training.steps})
        print(path)


def invert(cfg: DictConfig) -> None:
    """Invert the test images with one method, score them, and write the report."""
    _solve(cfg, _chosen(cfg), Trainer.test)


def predict(cfg: DictConfig) -> None:
    """Invert the test images with one method and write the report, without scores."""
    _solve(cfg, _chosen(cfg), Trainer.predict)


def benchmark(cfg: DictConfig) -> None:
    """Run every row of a benchmark that is not finished yet, and write its table."""
    print(tables.run(cfg))


def compare(cfg: DictConfig) -> None:
    """Invert the same images with several methods, score them, and compare them in one report."""
    if not cfg.methods:
        raise InputError(f"methods={cfg.methods}: names no method; see conf/experiment/demo.yaml")
    _solve(cfg, dict(cfg.methods), Trainer.test)


def _chosen(cfg: DictConfig) -> dict[str, DictConfig]:
    """The method of ``solver``; that of `conf/solver/reference/rgi.yaml` is called reference_rgi."""
    return {str(HydraConfig.get().runtime.choices.solver).replace("/", "_"): cfg.solver}


def _solve(cfg: DictConfig, solvers: dict[str, DictConfig], loop: Callable[..., Any]) -> None:
    """Run every method on the test images, then write what a run leaves behind."""
    learns = OmegaConf.select(cfg, "baseline") is not None
    configs = {} if learns else {name: solver_config(solver, name, cfg.task) for name, solver in solvers.items()}
    images = image_set(cfg)
    _prepare(images)
    methods = _baseline(cfg, images) if learns else _inversions(cfg, configs, images)
    folder = runs.open_run(cfg)
    scores, table = {}, []
    for method, module_for in methods.items():
        results = folder / "results" / method
        module = module_for(results)
        logger = method_logger(cfg, method, folder)
        # Inference mode would keep the solver from differentiating.
        trainer = make(cfg, "trainer", logger=logger, enable_progress_bar=False, inference_mode=False)
        if isinstance(module, InversionModule) and cfg.map.kind in JUDGED:
            judge_by_clean(cfg, trainer, module, images)
        if loop is Trainer.test:
            fix_threshold(cfg, trainer, module, images)
        quiet = {"verbose": False} if loop is Trainer.test else {"return_predictions": False}
        loop(trainer, module, datamodule=ImageData(images, cfg.batch_size), **quiet)
        trainer.strategy.barrier()  # every process has written its images
        if trainer.is_global_zero:
            found = rows(results, images.test().names, method)
            scores[method] = {name: value.item() for name, value in trainer.callback_metrics.items()}
            cost = {"images": len(found), "seconds_per_image": fmean(row["seconds"] for row in found)}
            cost["peak_memory_mib"] = runs.peak_memory()
            if "evaluations" in found[0]:
                cost["evaluations_per_image"] = fmean(row["evaluations"] for row in found)
            scores[method] |= cost
            table += found
            finish_logger(logger, found, cost, results)
    if trainer.is_global_zero:
        write_table(folder / "per_image.csv", table)
        write_table(folder / "table.csv", long_form(scores, cfg, images.category))
        for method, values in scores.items():
            shown = {name: values[name] for name in SHOWN if name in values}
            print(f"{method}: " + ", ".join(f"{name} {value:.4g}" for name, value in shown.items()))
        page = write_page(folder, cfg.name, scores)
        runs.write_json(folder / "metrics.json", scores)  # last: it marks the run as finished
        print(page)


def _inversions(
    cfg: DictConfig, configs: dict[str, SolverConfig], images: ImageSet
) -> dict[str, Callable[[Path], TestModule]]:
    """What solves with each configuration, given the folder for its results."""
    gan = generator(cfg, images)
    rehearse(cfg, configs, images, gan)
    rehearse_judging(cfg.map.kind, images, gan)
    OmegaConf.update(cfg, "generator.sha256", gan.card.sha256, force_add=True)
    return {
        method: partial(
            InversionModule,
            gan,
            config,
            method,
            map_kind=cfg.map.kind,
            sigma=cfg.map.sigma,
            seed=cfg.seed,
        )
        for method, config in configs.items()
    }


def _baseline(cfg: DictConfig, images: ImageSet) -> dict[str, Callable[[Path], TestModule]]:
    """The same of the baseline, which is fitted when its turn has come."""
    method, clean = HydraConfig.get().runtime.choices.baseline, images.train()
    unfitted = baseline(cfg, images)
    device = make(cfg, "trainer", logger=False).strategy.root_device

    def fitted(results: Path) -> TestModule:
        learned = unfitted.fit(_stack(clean, FITTED_IMAGES).to(device))
        log.info("%s: fitted in %.1f s", method, learned.seconds)
        return BaselineModule(learned, method, results, cfg.map.sigma)

    return {method: fitted}


def report(cfg: DictConfig) -> None:
    """Write the report of a finished run anew."""
    folder = path_option(cfg, "run")
    if not folder.is_dir():
        raise InputError(f"run={folder}: no such folder; a run's is outputs/<experiment>/<date_time>")
    if not all((folder / name).exists() for name in ("metrics.json", "per_image.csv", "results")):
        raise InputError(f"run={folder}: holds no finished inversion; start its command again to finish it")
    scores = json.loads((folder / "metrics.json").read_text())
    config = OmegaConf.load(folder / "config.yaml")
    print(write_page(folder, config.name, scores))


def calibrate(cfg: DictConfig) -> None:
    """Measure the generator's residuals on clean validation images and write them to its card."""
    config = solver_config(cfg.solver, "", cfg.task)
    images = make(cfg, "dataset")
    _prepare(images)
    held_out = images.validation()
    gan, path = generator(cfg, images), generator_file(cfg)
    residuals = clean_residuals(gan, _stack(held_out, CALIBRATION_IMAGES), config)
    store.write_card(dataclasses.replace(gan.card, residuals=residuals), path)
    print(f"{path.with_suffix('.json')}: residuals {residuals}")


def recovery(cfg: DictConfig) -> None:
    """Corrupt images of the generator's own, restore them in many ways, and measure how near they come to the truth."""
    settings = make(cfg, "recovery", _convert_="all")
    gan = store.load_gan(generator_file(cfg)).to(make(cfg, "trainer", logger=False).strategy.root_device)
    OmegaConf.update(cfg, "generator.sha256", gan.card.sha256, force_add=True)
    folder = runs.open_run(cfg)
    known_truth.run(gan, settings, folder, cfg.seed)
    print(folder / "figure.png")


def convert(cfg: DictConfig) -> None:
    """Convert the authors' checkpoint ``source`` to the safetensors file ``target``."""
    source, target = path_option(cfg, "source"), path_option(cfg, "target")
    try:
        print(zoo.convert(source, target))
    except OSError as error:
        raise InputError(f"target={target}: cannot be written ({error.strerror}); name another place") from error


def _stack(images: Dataset[torch.Tensor], most: int | None = None) -> torch.Tensor:
    """Images (N,C,H,W) of a dataset, at most so many, evenly spread."""
    return torch.stack([images[i] for i in spread(len(images), most)])


def _prepare(images: ImageSet) -> None:
    """Check the data once, however many processes there are."""
    if rank_zero_only.rank == 0:
        images.prepare()


TASKS = {
    task.__name__: task
    for task in (pretrain, invert, predict, compare, benchmark, recovery, report, calibrate, encode, convert)
}
