"""What the command line can do: each task is a short function of the composed configuration.

Every task checks in the same order: options, dataset, generator. Work starts when all of it holds.
"""

import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils.data import Dataset

from rgi import recovery as known_truth
from rgi import runs
from rgi.data.module import ImageData, ImageSet
from rgi.errors import InputError
from rgi.generators import store, zoo
from rgi.generators.pca import fit
from rgi.generators.store import GAN, Card
from rgi.inversion.calibration import clean_residuals
from rgi.modules.adversarial import AdversarialTraining, AtomicCheckpoints, SampleSheets
from rgi.modules.inversion import InversionModule, rows
from rgi.modules.regression import EncoderTraining
from rgi.options import check_options, generator, generator_file, make, path_option, rehearse, solver_config
from rgi.record import finish_logger, long_form, method_logger, write_page, write_table

log = logging.getLogger(__name__)
CALIBRATION_IMAGES = 64
FITTED_IMAGES = 5000  # plenty for the few hundred directions of a PCA, and no burden on memory


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
    """Train or fit a generator on the dataset's clean images and write it, with its card, to ``generator.path``."""
    calibrated = solver_config(cfg.solver, "", cfg.task)
    images = make(cfg, "dataset")
    training = None if cfg.generator.family == "pca" else _training(cfg, images)
    draft = None if training is None else training.unfinished(Card(**_architecture(cfg, images)))
    encoder = None if draft is None else _encoder_training(cfg, draft)
    target = path_option(cfg, "generator.path")
    if target.suffix != ".safetensors":
        raise InputError(f"generator.path={target}: must end in .safetensors")
    _prepare(images)
    clean, held_out = images.train(), images.validation()  # too few of them must not come out after hours
    if target.exists():
        raise InputError(f"generator.path={target}: exists already; name another file, or move this one away first")
    runs.check_writable(f"generator.path={target}", target.parent)
    make(cfg, "trainer", logger=False)
    gan = fit(_stack(clean, FITTED_IMAGES), cfg.generator.latent_dim, seed=cfg.seed) if training is None else None
    folder = runs.open_run(cfg)
    if training is not None:
        # Lightning counts the steps of both optimisers.
        data, sheets = ImageData(images, cfg.batch_size, cfg.seed, cfg.steps), SampleSheets(folder / "samples", 500)
        _fit(cfg, training, folder, "newest", 2 * cfg.steps, 2 * cfg.checkpoint_every, data, [sheets])
        gan = training.gan(Card(**_architecture(cfg, images), steps=training.steps_done))
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
    gan.card = card
    path = store.save_gan(gan, target)
    runs.write_json(folder / "metrics.json", {"steps": card.steps, "residuals": card.residuals})
    print(path)


def _training(cfg: DictConfig, images: ImageSet) -> AdversarialTraining:
    """The networks and how they are trained."""
    if cfg.generator.training is None:
        raise InputError(
            f"generator={cfg.generator.family}: is not trained here; convert the authors' checkpoint with "
            "task=convert, or use generator=compact"
        )
    torch.manual_seed(cfg.seed)  # of the initial weights
    return make(cfg, "generator.training", **_architecture(cfg, images), seed=cfg.seed, _convert_="all")


def _architecture(cfg: DictConfig, images: ImageSet) -> dict[str, Any]:
    sizes = {"latent_dim": cfg.generator.latent_dim, "channels": images.channels, "resolution": images.resolution}
    options = OmegaConf.to_container(cfg.generator.options, resolve=True)
    return {"family": cfg.generator.family, **sizes, "options": options}


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
        _fit(cfg, training, folder, "encoder", training.steps, cfg.checkpoint_every)
        gan.encoder = training.trained()
        gan.card = dataclasses.replace(gan.card, encoder=training.options)


def _fit(
    cfg: DictConfig,
    training: LightningModule,
    folder: Path,
    name: str,
    steps: int,
    every: int,
    data: ImageData | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Run a training, from its checkpoint in the folder if there is one; steps as Lightning counts them."""
    newest = folder / "checkpoints" / f"{name}.ckpt"
    checkpoints = ModelCheckpoint(newest.parent, name, every_n_train_steps=every, enable_version_counter=False)
    trainer = make(
        cfg,
        "trainer",
        logger=method_logger(cfg, "encode" if name == "encoder" else "pretrain", folder),
        max_steps=steps,
        callbacks=[checkpoints, TQDMProgressBar(refresh_rate=10), *callbacks],
        plugins=[AtomicCheckpoints()],
    )
    resumed = newest.exists()
    if resumed:
        log.info("continuing from %s", newest)
    trainer.fit(training, datamodule=data, ckpt_path=newest if resumed else None, weights_only=True)
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
    """Invert the same images with several methods, score them, and compare them in one report."""
    if not cfg.methods:
        raise InputError(f"methods={cfg.methods}: names no method; see conf/experiment/demo.yaml")
    _solve(cfg, dict(cfg.methods), Trainer.test)


def _chosen(cfg: DictConfig) -> dict[str, DictConfig]:
    """The method of ``solver``; that of `conf/solver/reference/rgi.yaml` is called reference_rgi."""
    return {str(HydraConfig.get().runtime.choices.solver).replace("/", "_"): cfg.solver}


def _solve(cfg: DictConfig, solvers: dict[str, DictConfig], loop: Callable[..., Any]) -> None:
    """Run every method on the test images, then write what a run leaves behind."""
    configs = {method: solver_config(solver, method, cfg.task) for method, solver in solvers.items()}
    images = make(cfg, "dataset")
    _prepare(images)
    gan = generator(cfg, images)
    rehearse(cfg, configs, images, gan)
    OmegaConf.update(cfg, "generator.sha256", gan.card.sha256, force_add=True)
    folder = runs.open_run(cfg)
    log.info("%s: %s", cfg.generator.path, gan.card.terms or "the terms of its training data are not recorded")
    scores, table = {}, []
    for method, config in configs.items():
        results = folder / "results" / method
        module = InversionModule(gan, config, method, results, cfg.map.kind, cfg.map.sigma, cfg.seed)
        logger = method_logger(cfg, method, folder)
        # Inference mode would keep the solver from differentiating.
        trainer = make(cfg, "trainer", logger=logger, enable_progress_bar=False, inference_mode=False)
        quiet = {"verbose": False} if loop is Trainer.test else {"return_predictions": False}
        loop(trainer, module, datamodule=ImageData(images, cfg.batch_size), **quiet)
        trainer.strategy.barrier()  # every process has written its images
        if trainer.is_global_zero:
            found = rows(results, images.test().names, method)
            scores[method] = {name: value.item() for name, value in trainer.callback_metrics.items()}
            cost = {"images": len(found), "seconds_per_image": fmean(row["seconds"] for row in found)}
            scores[method] |= cost
            table += found
            finish_logger(logger, found, cost, results)
    if trainer.is_global_zero:
        write_table(folder / "per_image.csv", table)
        write_table(folder / "table.csv", long_form(scores, cfg, images.category))
        for method, values in scores.items():
            print(f"{method}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        page = write_page(folder, cfg.name, scores)
        runs.write_json(folder / "metrics.json", scores)  # last: it marks the run as finished
        print(page)


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
    count = len(images)
    chosen = range(count) if most is None or most >= count else [i * count // most for i in range(most)]
    return torch.stack([images[i] for i in chosen])


def _prepare(images: ImageSet) -> None:
    """Check the data once, however many processes there are."""
    if rank_zero_only.rank == 0:
        images.prepare()


TASKS = {
    task.__name__: task for task in (pretrain, invert, predict, benchmark, recovery, report, calibrate, encode, convert)
}
