"""From the composed configuration to checked objects: what is wrong with an option is said in the user's own words."""

import logging
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

from rgi.baselines.base import Baseline
from rgi.baselines.features import critic_features, timm_features
from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.protocol import ImageSet
from rgi.errors import InputError
from rgi.generators import store
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.problem import Problem
from rgi.inversion.result import KINDS
from rgi.validation import Allowed, Count, NotNegative, Seed, Share, check, integer, one_of

log = logging.getLogger(__name__)
ABSENT = object()
OPTIONS = {  # of the tasks; each has some of them
    "seed": Seed,
    "batch_size": Count,
    "steps": Count,
    "checkpoint_every": Count,
    "judge.every": Count,
    "judge.images": Count,
    "judge.samples": integer(16),
    "generator.latent_dim": Count,
    "map.kind": one_of(*KINDS) | None,
    "map.sigma": Annotated[NotNegative, Allowed("a number of pixels, at least 0")],
    "map.false_positive_rate": Annotated[Share, Allowed("a share of the pixels, from 0 to below 1")] | None,
}


def check_options(cfg: DictConfig) -> None:
    """The numbers and words of the tasks; the groups' own classes check theirs."""
    for name, annotation in OPTIONS.items():
        value = OmegaConf.select(cfg, name, default=ABSENT)
        if value is not ABSENT:
            check(name, value, annotation)


def make(cfg: DictConfig, group: str, **settings: Any) -> Any:
    """The object that a group of the configuration describes."""
    try:
        return instantiate(OmegaConf.select(cfg, group), **settings)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise InputError(f"{group}: {error.__cause__ or error}; correct the options {group}.*") from error


def image_set(cfg: DictConfig) -> ImageSet:
    """The dataset to test on; with ``corruption`` its clean test images are corrupted."""
    images = make(cfg, "dataset")
    if OmegaConf.select(cfg, "corruption") is None:
        return images
    return CorruptedSet(images, make(cfg, "corruption"))


def path_option(cfg: DictConfig, option: str) -> Path:
    value = OmegaConf.select(cfg, option, throw_on_missing=True)
    if value is None:
        raise InputError(f"{option}: not given; add {option}=...")
    return Path(str(value))


def solver_config(solver: DictConfig, method: str, task: str) -> SolverConfig:
    """A method, whose options are called as the user calls them."""
    place = f"methods.{method}" if task == "compare" else "solver"
    if not OmegaConf.is_dict(solver):
        raise InputError(f"{place}={solver}: must hold a solver's options; add it as +solver@methods.{method}=rgi")
    try:
        options = OmegaConf.to_container(solver, resolve=True)
    except InterpolationKeyError as error:
        if "'paper." not in str(error):
            raise
        raise InputError(
            f"{place}: takes the constants that the paper chooses for a data set; add paper=anomaly, or another of "
            "conf/paper"
        ) from error
    try:
        return SolverConfig(**options)
    except InputError as error:
        raise InputError(f"{place}.{str(error).removeprefix('solver.')}") from error


def prepare(images: ImageSet) -> None:
    """Check the data, on one process only."""
    if rank_zero_only.rank == 0:
        images.prepare()


def check_methods(cfg: DictConfig, configs: dict[str, SolverConfig], images: ImageSet, gan: GAN) -> None:
    """Check, before work starts, that every method has what it needs of the images and the generator.

    Raises:
        InputError: more processes than images, no masks where they are required, or what `rgi.invert` refuses.
    """
    tests = images.test()
    processes = make(cfg, "trainer", logger=False).world_size
    if len(tests) < processes:
        raise InputError(f"trainer.devices={processes}: only {len(tests)} test images; use as many processes at most")
    first, pool = tests[0], torch.zeros(1, gan.card.latent_dim)
    for config in configs.values():
        if config.mask == "given" and first.mask is None:
            raise InputError("solver.mask=given: the test images have no masks; set dataset.masks to a folder of them")
        Problem(gan, first.observed, config, first.mask).starts(None, pool, cfg.seed)


def baseline(cfg: DictConfig, images: ImageSet) -> Baseline:
    """The baseline, not fitted yet; one that compares features gets those of the generator's critic, or of timm."""
    features = cfg.baseline.get("features")
    if features is None:
        return make(cfg, "baseline")
    network = critic_features(generator(cfg, images)) if features == "critic" else timm_features(str(features))
    return make(cfg, "baseline", features=network)


def generator_file(cfg: DictConfig) -> Path:
    """The generator's safetensors file: the one named, or else one of that name that comes with the program.

    If there is neither, and ``pretrain_if_missing`` asks for it, it is trained now, by the command that the error would
    otherwise name.
    """
    path = path_option(cfg, "generator.path")
    places = (path, store.SHIPPED / path.name)
    found = next((file for file in places if file.is_file()), None)
    if found is not None:
        return found
    options = _training_options(cfg)
    if not OmegaConf.select(cfg, "pretrain_if_missing", default=False):
        how = "convert the authors' checkpoint (task=convert), or " if cfg.generator.family == "progressive" else ""
        how += " ".join(["train it with: python run.py", *map(shlex.quote, options)])
        raise InputError(f"generator.path={path}: no such file; {how}")
    log.info("%s is not there: training it first", path)
    ended = subprocess.run([sys.executable, sys.argv[0], *options], check=False).returncode
    if ended or not path.is_file():
        raise InputError(f"generator.path={path}: its training ended with status {ended}; see what it said above")
    return path


def _training_options(cfg: DictConfig) -> list[str]:
    """Of the command that trains the generator, with the user's own where they matter."""
    hydra = HydraConfig.get()
    dataset = hydra.runtime.choices.dataset
    prefix = {"mvtec_ad": "mvtec"}.get(dataset, dataset)
    groups = ("dataset.", "generator.", "generator=")
    options = [option for option in hydra.overrides.task if option.startswith(groups)]
    if OmegaConf.select(cfg, "dataset.train", default="") is None:
        options.append("dataset.train=FOLDER_OF_CLEAN_IMAGES")
    return [f"experiment={prefix}_pretrain", *options]


def generator(cfg: DictConfig, images: ImageSet) -> GAN:
    """The generator, which must make images of the dataset's size."""
    path = generator_file(cfg)
    gan = store.load_gan(path)
    card = gan.card
    if (card.channels, card.resolution) != (images.channels, images.resolution):
        raise InputError(
            f"generator.path={path}: makes {card.resolution} pixels and {card.channels} channels, the dataset has "
            f"{images.resolution} and {images.channels}; "
            f"set dataset.resolution={card.resolution} dataset.channels={card.channels}, or train another generator"
        )
    return gan
