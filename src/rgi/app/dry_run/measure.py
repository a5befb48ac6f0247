"""Quick measurements on this machine, from which the plan of a run estimates its time and memory."""

import copy
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import psutil
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from rgi.app.options import make
from rgi.app.training.fit import FIT_IMAGES, fitted
from rgi.baselines.base import Baseline
from rgi.baselines.kept_features import KeptFeatures
from rgi.data.protocol import evenly_spaced
from rgi.evaluation import combined_map
from rgi.evaluation.memory import PeakMemory
from rgi.generators.store import GAN
from rgi.inversion.basis import PROBES
from rgi.inversion.config import SolverConfig
from rgi.inversion.memory import bytes_per_image, images_at_once
from rgi.inversion.problem import Problem
from rgi.inversion.solver import invert
from rgi.inversion.start import POOL_BATCH, draw_pool
from rgi.training.adversarial import AdversarialTraining

IMAGES = 4  # images of a measurement on a CPU, where more images take longer in proportion; a GPU takes a whole batch
STEPS = 2  # steps of a measurement: the first one also allocates memory
SLOW = 2.0  # seconds of a step beside which the allocation of memory does not matter
PLACES = 6  # in the schedule of a training, because the first scales of a growing GAN are faster than the last
PART = 8  # a fit of a generator is measured on this part of its images
FIT_OF_BASELINE = 64  # images of the measured fit of a baseline; half of them show what does not grow with the images


class Cost(NamedTuple):
    """Seconds of a piece of work.

    Attributes:
        once: seconds whatever the number of images or steps.
        each: seconds of an image or a step.
    """

    once: float
    each: float

    def of(self, count: int) -> float:
        """Seconds of so many images or steps."""
        return self.once + count * self.each


def timed(call: Callable[[], Any]) -> float:
    """Seconds that a function takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def sample(device: torch.device, batch_size: int) -> int:
    """Number of images of a measurement."""
    return batch_size if device.type == "cuda" else min(IMAGES, batch_size)


def inversion(gan: GAN, config: SolverConfig, images: Tensor, masks: Tensor | None = None) -> Cost:
    """Time of `rgi.invert`, from a few steps of each phase; images that settle early take less.

    Args:
        gan: GAN on the device of the run.
        config: method.
        images: a few images (B,C,H,W).
        masks: masks (B,1,H,W) of the images; None if the method needs none.
    """
    quick, phases = shortened(config)
    pool = draw_pool(min(config.pool_size, POOL_BATCH), gan.card.latent_dim, config.pool_distribution, 0)
    start = torch.zeros(len(images), gan.card.latent_dim) if config.latent_start == "given" else None
    cold, steps = _seconds(gan, quick, images[:1], masks, start, pool)
    if steps[0] > SLOW:
        images = images[:1]
    setup, steps = _seconds(gan, quick, images, masks, start, pool)
    count, position, total = len(images), 0, 0.0
    for length in phases:
        taken = min(length, STEPS)
        total += length * min(steps[position : position + taken])
        position += taken
    once = max(0.0, cold - setup / count) * config.pool_size / len(pool)
    if config.accelerated and config.latent_basis == "metric":
        once += PROBES * min(steps) / count
    return Cost(once, (setup + total) / count)


def shortened(config: SolverConfig) -> tuple[SolverConfig, list[int]]:
    """A method with a few steps of each phase; and the numbers of steps of the phases of the whole method.

    The phases end when only one start of an image is left, and when the generator begins to move. Half of the starts
    leave after the first step of the trial; the whole trial has nearly as many on average.
    """
    trial, tuned = (min(step, config.iterations) for step in (config.trial_steps, config.tune_from))
    ends = sorted({0, trial, config.iterations} | ({tuned} if config.tune_generator else set()))
    phases = [after - before for before, after in pairwise(ends)]
    new, done = {0: 0}, 0
    for end, length in zip(ends[1:], phases, strict=True):
        done += min(length, STEPS)
        new[end] = done
    moved = {"tune_from": new[tuned]} if config.tune_generator else {"tune_from": 0}
    changes = {"iterations": done, "trial_steps": new[trial], "tolerance": None, "latent_basis": "standard", **moved}
    return config.replace(**changes), phases


def _seconds(
    gan: GAN, config: SolverConfig, images: Tensor, masks: Tensor | None, start: Tensor | None, pool: Tensor
) -> tuple[float, list[float]]:
    """Seconds before the first step, and of each step."""
    times: list[float] = []

    def stamp(_: int) -> None:
        if gan.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    begun = time.perf_counter()
    start = None if start is None else start[: len(images)]
    masks = None if masks is None else masks[: len(images)]
    invert(gan, images, config, masks, latent_start=start, pool=pool, on_step=stamp)
    steps = [after - before for before, after in pairwise(times)] or [times[0] - begun]
    return max(0.0, times[0] - begun - steps[0]), [steps[0], *steps]


def inversion_memory(gan: GAN, config: SolverConfig, batch_size: int, masks: Tensor | None) -> float:
    """Bytes of a batch of inversions, see `rgi.inversion.memory`."""
    card = gan.card
    image = torch.zeros(1, card.channels, card.resolution, card.resolution)
    problem = Problem(gan, image, config, None if masks is None else masks[:1])
    return bytes_per_image(problem) * min(batch_size, images_at_once(problem))


def used_memory(device: torch.device) -> float:
    """Bytes that this process holds now: on a GPU those of the tensors, elsewhere all of them with the libraries."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss


def without_files(features: nn.Module) -> nn.Module:
    """A feature extractor that neither reads nor writes files of features: a measurement needs the whole time."""
    return features.network if isinstance(features, KeptFeatures) else features


def fitted_baseline(baseline: Baseline, clean: Dataset[Tensor], count: int, device: torch.device) -> Baseline:
    """A baseline that is fitted to a few images, with the expected seconds of its whole fit.

    Args:
        baseline: baseline before its fit.
        clean: clean images.
        count: number of images of the whole fit.
        device: device of the fit.
    """
    if hasattr(baseline, "features"):
        baseline.features = without_files(baseline.features)
    few = min(count, FIT_OF_BASELINE + 2 * getattr(baseline, "components", 0))  # more images than components
    if hasattr(baseline, "steps"):  # it is trained, so its time depends on the steps
        steps, baseline.steps = baseline.steps, max(1, baseline.steps // PART)
        baseline.fit(Subset(clean, evenly_spaced(len(clean), few)), device)
        baseline.seconds *= steps / baseline.steps
        return baseline
    half, whole = (
        baseline.fit(Subset(clean, evenly_spaced(len(clean), part)), device).seconds for part in (few // 2, few)
    )
    baseline.seconds = whole + (count - few) * max(0.0, whole - half) / (few - few // 2)
    return baseline


def feature_maps(gan: GAN, features: str, clean: Dataset[Tensor], count: int, device: torch.device) -> Cost:
    """Time of the baselines of a combined map, fitted to ``count`` images."""
    few = Subset(clean, evenly_spaced(len(clean), 2 * IMAGES))
    baselines = combined_map.unfitted_baselines(gan, features, seed=0)
    for each in baselines.values():
        each.features = without_files(each.features)
    held_out = list(range(len(few) // 2))
    started = time.perf_counter()
    maps = combined_map.feature_maps(baselines, few, held_out, device)
    seconds = (time.perf_counter() - started) / len(few)
    images = torch.stack([few[i] for i in held_out]).to(device)
    return Cost(count * seconds, timed(lambda: [each(images) for each in maps]) / len(images))


class _Clock(Callback):
    """Moves a training to some places of its schedule, and measures a step at each: a second one if it is fast.

    The steps of an encoder are all alike, so there is one place.
    """

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.seconds, self.steps = [], 0
        self.moves = isinstance(module, AdversarialTraining)
        first, count = module.steps_done, PLACES if self.moves else 1
        left = module.steps - first
        self.places = [first + left * (2 * place + 1) // (2 * count) for place in range(count)]

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if self.moves:
            module.first_step = self.places[len(self.seconds)] - module.global_step
        self.since = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        taken, self.steps = time.perf_counter() - self.since, self.steps + 1
        if taken > SLOW or self.steps == STEPS:
            self.seconds.append(taken)
            self.steps = 0
        trainer.should_stop = len(self.seconds) == len(self.places)


def training(cfg: DictConfig, module: LightningModule, data: LightningDataModule | None = None) -> tuple[Cost, float]:
    """Time of a training's step, and the highest memory in bytes.

    The training itself is used up: its networks have made some steps afterwards.

    Args:
        cfg: configuration with the trainer.
        module: training of a generator or an encoder.
        data: images of a training of a generator.
    """
    clock = _Clock()
    switches = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = make(cfg, "trainer", **switches, devices=1, strategy="auto", max_steps=STEPS * PLACES, callbacks=[clock])
    module.train()
    with PeakMemory(trainer.strategy.root_device) as memory:
        trainer.fit(module, datamodule=data)
    return Cost(0.0, fmean(clock.seconds)), memory.peak * 2**20


def fit(cfg: DictConfig, clean: Dataset[Tensor]) -> tuple[GAN, float, float]:
    """A generator that is fitted to a part of the images, the seconds of the whole fit, and the highest memory."""
    part, latent = copy.deepcopy(cfg), cfg.generator.latent_dim
    count, copies = min(len(clean), FIT_IMAGES), OmegaConf.select(cfg, "generator.fit.copies", default=0)
    few, moved = min(count, max(count // PART, 2 * latent - copies // PART)), copies // PART
    if copies:
        OmegaConf.update(part, "generator.fit.copies", moved)
    with PeakMemory() as memory:
        started = time.perf_counter()
        gan = fitted(part, Subset(clean, evenly_spaced(len(clean), few)))
        seconds = time.perf_counter() - started
    share = (count + copies) / (few + moved)
    return gan, seconds * share, (memory.before + (memory.peak - memory.before) * share) * 2**20
