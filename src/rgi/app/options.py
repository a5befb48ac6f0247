"""Objects from the composed configuration, with checks; error messages name the options of the command line."""

import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from rgi.app import chain
from rgi.app.jobs import launch
from rgi.app.training.trained_on import check_training_data
from rgi.baselines.base import Baseline
from rgi.baselines.features import critic_features, timm_features
from rgi.baselines.imagenet import imagenet_features
from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.listing import expanded
from rgi.data.protocol import ImageSet
from rgi.data.sets.clean_set import CleanSet
from rgi.data.sets.folder import Folder
from rgi.errors import InputError
from rgi.generators import places, store
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.problem import Problem
from rgi.inversion.result import KINDS
from rgi.validation import Allowed, Count, NotNegative, Seed, Share, Switch, Text, check, integer, one_of, typed

log = logging.getLogger(__name__)
ABSENT = object()  # default of options that a task does not have
PATHS = (
    *("output_dir", "generator.path", "dataset.root", "dataset.masks", "dataset.train", "dataset.roi"),
    *("corruption.masks", "source", "target", "run", "input"),
)
OPTIONS = {  # options of the tasks; a task has some of these
    "name": Text,
    "output_dir": Text | None,
    "debug": Switch,
    "dry_run": Switch,
    "seed": Seed,
    "batch_size": Count,
    "steps": Count,
    "checkpoint_every": Count,
    "judge.every": Count,
    "logger.offline": Switch,
    "logger.name": Text | None,
    "judge.images": Count,
    "judge.samples": integer(16),
    "generator.latent_dim": Count,
    "generator.other_data": Switch,
    "map.kind": one_of("auto", *KINDS) | None,
    "map.features": one_of("auto", "critic", "imagenet"),
    "map.sigma": Annotated[NotNegative, Allowed("a number of pixels, at least 0")],
    "map.false_positive_rate": Annotated[Share, Allowed("a share of the pixels, at least 0 and below 1")] | None,
}


def expand_home(cfg: DictConfig) -> None:
    """Replace a leading ``~`` in all paths by the home folder, as a shell does.

    Raises:
        InputError: there is no such home folder.
    """
    for name in PATHS:
        value = OmegaConf.select(cfg, name)
        if isinstance(value, str) and value.startswith("~"):
            path = os.path.expanduser(value)
            if path == value:
                raise InputError(f"{name}={value}: no such home folder; write ./{value} for a folder of this name")
            OmegaConf.update(cfg, name, path)


def check_options(cfg: DictConfig) -> None:
    """Check the options of the tasks; the classes of the groups check the options of the groups.

    Raises:
        InputError: an option is out of range.
    """
    chain.check_chain(cfg)
    for name, annotation in OPTIONS.items():
        value = OmegaConf.select(cfg, name, default=ABSENT)
        if value is not ABSENT:
            check(name, value, annotation)


def make(cfg: DictConfig, group: str, **settings: Any) -> Any:
    """Make the object that a group of the configuration describes.

    Args:
        cfg: configuration.
        group: name of the group, such as "dataset".
        settings: further arguments of the object.

    Raises:
        InputError: an option of the group is wrong.
    """
    options = OmegaConf.select(cfg, group)
    if OmegaConf.is_dict(options) and "_target_" not in options:
        raise InputError(f"{group}: has options but no _target_; choose one of conf/{group.partition('.')[0]}")
    try:
        return instantiate(options, **settings)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise InputError(f"{group}: {error.__cause__ or error}; correct the options {group}.*") from error


def image_set(cfg: DictConfig) -> ImageSet:
    """The dataset; with the option ``corruption``, its clean test images are corrupted."""
    images = make(cfg, "dataset")
    if OmegaConf.select(cfg, "corruption") is None:
        return images
    return CorruptedSet(images, make(cfg, "corruption"))


def path_option(cfg: DictConfig, option: str) -> Path:
    """The value of an option as a path.

    Raises:
        InputError: the option is null, or no path.
    """
    value = OmegaConf.select(cfg, option, throw_on_missing=True)
    if value is None:
        raise InputError(f"{option}: not given; add {option}=...")
    check(option, str(value), Text)
    return Path(str(value))


def solver_config(solver: DictConfig, method: str, task: str) -> SolverConfig:
    """The options of a method as a `SolverConfig`; error messages have the names of the command line.

    Args:
        solver: options of the method in the configuration.
        method: name of the method.
        task: name of the task.

    Raises:
        InputError: an option is wrong.
    """
    place = f"methods.{method}" if task == "compare" else "solver"
    if not OmegaConf.is_dict(solver):
        raise InputError(f"{place}={typed(solver)}: must be solver options; add +solver@methods.{method}=rgi")
    try:
        options = OmegaConf.to_container(solver, resolve=True)
    except InterpolationKeyError as error:
        if "'paper." not in str(error):
            raise
        raise InputError(
            f"{place}: needs the paper's constants for a dataset; add paper=anomaly, or another choice from conf/paper"
        ) from error
    try:
        return SolverConfig(**options)
    except InputError as error:
        raise InputError(f"{place}.{str(error).removeprefix('solver.')}") from error


def prepare(cfg: DictConfig, images: ImageSet, training: bool = True, tests: bool = True) -> None:
    """Check the dataset on the first process only; arguments as for `ImageSet.prepare`.

    Raises:
        InputError: the dataset is wrong, or the results would be written among its test images.
    """
    if rank_zero_only.rank == 0:
        root, output = OmegaConf.select(cfg, "dataset.root"), Path(cfg.output_dir or "outputs")
        # All images below these roots are test images, so the pictures of this run would be the next run's.
        if root and isinstance(images, Folder | CleanSet) and output.resolve().is_relative_to(expanded(root).resolve()):
            raise InputError(
                f"dataset.root={root}: contains the folder of the results ({output}), whose pictures would count as "
                "images; set output_dir to a folder elsewhere, or move the images to a folder of their own"
            )
        images.prepare(training, tests)


def check_methods(cfg: DictConfig, configs: dict[str, SolverConfig], images: ImageSet, gan: GAN) -> None:
    """Check that all methods suit the images and the generator, before work starts.

    Args:
        cfg: configuration.
        configs: options of the methods, by name.
        images: dataset with test images.
        gan: GAN of the run.

    Raises:
        InputError: there are more processes than test images, required masks are missing, or `rgi.invert` would raise
            an error.
    """
    tests = images.test()
    processes = make(cfg, "trainer", logger=False).world_size
    if len(tests) < processes:
        raise InputError(f"trainer.devices={processes}: only {len(tests)} test images; use at most as many processes")
    first, pool = tests[0], torch.zeros(1, gan.card.latent_dim)
    corner = ..., slice(gan.card.resolution), slice(gan.card.resolution)  # of a picture that is solved by tiles
    mask = None if first.mask is None else first.mask[corner]
    for config in configs.values():
        if config.mask == "given" and first.mask is None:
            raise InputError("solver.mask=given: the test images have no masks; set dataset.masks to a folder of masks")
        Problem(gan, first.observed[corner], config, mask).starts(None, pool, cfg.seed)


def baseline(cfg: DictConfig, images: ImageSet) -> Baseline:
    """The baseline before its fit; ``baseline.features`` is critic, imagenet, or the name of a timm network."""
    features = cfg.baseline.get("features")
    if features is None:
        return make(cfg, "baseline")
    if features == "critic":
        network = critic_features(generator(cfg, images))
    else:
        network = imagenet_features() if features == "imagenet" else timm_features(str(features))
    return make(cfg, "baseline", features=network)


def find_generator(cfg: DictConfig) -> Path | None:
    """The generator's safetensors file: ``generator.path``, or a shipped file; None if there is no such file.

    A path is a path, and a name without folder is the name of a generator, see `rgi.generators.places.named`. The file
    of a default folder may be a shipped one.
    """
    path = path_option(cfg, "generator.path")
    named = places.named(path.name) if path.parent in (Path(), places.DEFAULT, places.LOCAL) else []
    return next((file for file in (path, *named) if file.is_file()), None)


def generator_file(cfg: DictConfig) -> Path:
    """The generator's safetensors file, see `find_generator`.

    If the file is missing and ``pretrain_if_missing`` is true, the generator is trained first.

    Raises:
        InputError: the file is missing, or the training fails. The message names the command for the training.
    """
    path, file = path_option(cfg, "generator.path"), find_generator(cfg)
    if file is not None:
        return file
    options = _training_options(cfg)
    command = f"python run.py {shlex.join(options)}"
    if not OmegaConf.select(cfg, "pretrain_if_missing", default=False):
        remedy = "convert the authors' checkpoint (task=convert), or " if cfg.generator.family == "progressive" else ""
        raise InputError(f"generator.path={path}: no such file; {places.similar(path)}{remedy}train it with: {command}")
    if cfg.dry_run:
        raise InputError(f"generator.path={path}: would be trained first; plan that with: {command} dry_run=true")
    launch.refuse("pretrain_if_missing=true", f"train first: {command}")
    log.info("%s is missing, so the generator is trained first", path)
    status = subprocess.run([sys.executable, sys.argv[0], *options], check=False).returncode
    if status or not path.is_file():
        raise InputError(f"generator.path={path}: its training ended with status {status}; see its error message above")
    return path


def _training_options(cfg: DictConfig) -> list[str]:
    """Options of the command that trains the generator, including the user's options of dataset and generator."""
    hydra = HydraConfig.get()
    prefix = hydra.runtime.choices.dataset.removesuffix("_ad")  # experiments with mvtec_ad are called mvtec_...
    groups = ("dataset.", "generator.", "generator=", "scale=")
    options = [option for option in hydra.overrides.task if option.startswith(groups)]
    if OmegaConf.select(cfg, "dataset.train", default="") is None:
        options.append("dataset.train=FOLDER_OF_CLEAN_IMAGES")
    reference = "reference/" if str(hydra.runtime.choices.experiment).startswith("reference/") else ""
    return [f"experiment={reference}{prefix}_pretrain", *options]


def generator(cfg: DictConfig, images: ImageSet) -> GAN:
    """Load the generator.

    Raises:
        InputError: the file is missing or wrong, or the generator makes images of another size than the dataset.
    """
    path = generator_file(cfg)
    gan = store.load_gan(path)
    card = gan.card
    chain.check_generator(cfg, card, gan.critic, path)
    if (card.channels, card.resolution) != (images.channels, images.resolution):
        raise InputError(
            f"generator.path={path}: makes {card.resolution} pixels and {card.channels} channels, but the dataset has "
            f"{images.resolution} pixels and {images.channels} channels; "
            f"set dataset.resolution={card.resolution} dataset.channels={card.channels}, or train another generator"
        )
    check_training_data(cfg, card, path, images)
    return gan
