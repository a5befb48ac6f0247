"""Plans of runs: what ``dry_run=true`` prints instead of a run.

A task makes all its checks first, as before a run. Then its plan measures a few steps on this machine.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn

from rgi.app.dry_run import measure
from rgi.app.options import make
from rgi.data.batch import Batch
from rgi.data.images import parallel_map
from rgi.data.pictures import Fit, tile_count
from rgi.data.protocol import ImageSet, TestSet, evenly_spaced
from rgi.data.tiles import Tiling
from rgi.errors import InputError
from rgi.evaluation.base import TestModule
from rgi.evaluation.clean_images import KINDS_FROM_CLEAN, painted_images, statistics_images, threshold_images
from rgi.evaluation.clean_residuals import CALIBRATION_IMAGES, inverted_images
from rgi.evaluation.combined_map import fitted_images
from rgi.evaluation.modules import BaselineModule, InversionModule
from rgi.evaluation.pictures import PictureModule
from rgi.generators.store import GAN, Card
from rgi.metrics.bins import BINS

GIB = 2**30
BYTES_PER_BIN = 140  # measured: the counts of the scores of all pixels, and the curves that are computed from them
SCORED = ("report.html", "metrics.json", "table.csv", "per_image.csv", "pictures/", "results/")
KEPT = ("config.yaml", "environment.json")  # of every run folder


class Plan(NamedTuple):
    """A plan of a run.

    Attributes:
        lines: what is planned, by topic.
        seconds: expected time; 0 if it takes seconds.
    """

    lines: list[tuple[str, str]]
    seconds: float

    def __str__(self) -> str:
        """One line for each topic."""
        width = max(len(topic) for topic, _ in self.lines)
        return "\n".join(f"{topic:<{width}}  {text}" for topic, text in self.lines)


def duration(seconds: float) -> str:
    """A time in words, such as "4 min"."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def run_folder(cfg: DictConfig) -> str:
    """The folder that the run would have."""
    return str(cfg.output_dir or f"outputs/{cfg.name}/<date_time>")


def of_files(cfg: DictConfig, facts: dict[str, Any], files: Sequence[str]) -> Plan:
    """The plan of a task that works on files alone, in seconds.

    Args:
        cfg: configuration of the task.
        facts: what is known of the work, by topic.
        files: files that the task would write.
    """
    lines = [("task", cfg.task), *((topic, str(text)) for topic, text in facts.items())]
    return Plan([*lines, ("time", "seconds"), ("writes", ", ".join(files))], 0.0)


def of_methods(cfg: DictConfig, images: ImageSet, modules: list[TestModule], scored: bool) -> Plan:
    """The plan of an evaluation.

    Args:
        cfg: configuration of the task.
        images: dataset.
        modules: modules of the methods; a baseline is fitted to a few images.
        scored: whether the results are scored.
    """
    tests, trainer = images.test(), make(cfg, "trainer", logger=False)
    device, processes = trainer.strategy.root_device, trainer.world_size
    few, tiles = _sample(tests, measure.sample(device, cfg.batch_size), images.resolution)
    few = few.to(device)
    held_out = threshold_images(images, cfg.map.false_positive_rate) if scored else None
    extra = 0 if held_out is None else len(held_out)
    methods, seconds, memory = [], 0.0, 0.0
    for module in modules:
        module.to(device)
        cost, others, needed = (_of_baseline if isinstance(module, BaselineModule) else _of_inversion)(
            cfg, images, module, few
        )
        time = cost.of(len(tests) * tiles + extra + sum(others.values())) / processes
        beside = ", ".join(_count(count, kind) for kind, count in {"held-out": extra, **others}.items() if count)
        methods.append((module.method, f"{_steps(module)}about {duration(time)}{beside and f', with {beside} images'}"))
        seconds, memory = seconds + time, max(memory, needed)
    if scored and device.type != "cuda":
        memory += BYTES_PER_BIN * BINS
    lines = [
        ("task", cfg.task),
        ("dataset", dataset(images)),
        ("images", count_images(images, len(tests))),
        *_networks(modules),
        *methods,
        *needs(seconds, measure.used_memory(device) + memory, device, processes),
        ("writes", run_files(cfg, SCORED)),
    ]
    return Plan(lines, seconds)


def _sample(tests: TestSet, count: int, side: int) -> tuple[Batch, float]:
    """A few test images, or tiles of them, and the mean number of tiles of a test image."""
    part = [tests[i] for i in evenly_spaced(len(tests), count)]
    tiles = fmean(len(Tiling(*each.observed.shape[-2:], side)) for each in part)
    observed = torch.cat([each.observed[..., :side, :side] for each in part])
    known = all(each.mask is not None for each in part)
    mask = torch.cat([each.mask[..., :side, :side] for each in part]) if known else None
    return Batch(observed, mask, None, [each.name[0] for each in part], [""] * len(part)), tiles


def _of_inversion(
    cfg: DictConfig, images: ImageSet, module: InversionModule, few: Batch
) -> tuple[measure.Cost, dict[str, int], float]:
    """Cost of an image, numbers of images by kind that are inverted for the map, and bytes of a batch."""
    gan, config = module.gan, module.config
    mask = few.mask if config.mask == "given" else None
    cost = measure.inversion(gan, config, few.observed, mask)
    memory = measure.inversion_memory(gan, config, cfg.batch_size, mask)
    if module.map_kind not in KINDS_FROM_CLEAN:
        return cost, {}, memory
    clean = images.train()
    chosen = statistics_images(len(clean))
    others = {"clean": len(chosen)}
    if module.map_kind == "combined":
        fitted = len(fitted_images(len(clean), chosen))
        other = measure.feature_maps(gan, module.features, clean, fitted, few.observed.device)
        cost = measure.Cost(cost.once + other.once, cost.each + other.each)
        others["painted"] = len(painted_images(images) or ())
    return cost, others, memory


def _of_baseline(
    cfg: DictConfig, images: ImageSet, module: BaselineModule, few: Batch
) -> tuple[measure.Cost, dict[str, int], float]:
    """Cost of the fit and of an image; a baseline inverts no clean images, and its memory is that of its state."""
    each = measure.timed(lambda: module.baseline.predict(few.observed)) / len(few)
    return measure.Cost(module.baseline.seconds, each), {}, 4.0 * module.baseline.size


def of_pictures(cfg: DictConfig, module: PictureModule, fit: Fit, files: Sequence[Path], more: int, to: str) -> Plan:
    """The plan for pictures of any size.

    Args:
        cfg: configuration of the task.
        module: module that solves tiles of the pictures.
        fit: how a picture is brought to the size of the generator.
        files: pictures.
        more: highest number of further tiles that are solved.
        to: what the task would write.
    """
    trainer, card = make(cfg, "trainer", logger=False), module.gan.card
    device, processes = trainer.strategy.root_device, trainer.world_size
    module.to(device)
    counts = list(parallel_map(lambda path: tile_count(path, fit), files, "measuring pictures"))
    few = torch.zeros(measure.sample(device, cfg.batch_size), card.channels, card.resolution, card.resolution)
    cost = measure.inversion(module.gan, module.config, few.to(device))
    memory = measure.used_memory(device) + measure.inversion_memory(module.gan, module.config, cfg.batch_size, None)
    if module.clean is not None and module.clean.feature_maps:
        scored = measure.timed(lambda: module.clean.combined(few.to(device), few[:, 0].to(device), cfg.map.sigma))
        cost = measure.Cost(cost.once, cost.each + scored / len(few))
    tiles = sum(counts)
    seconds = cost.of(tiles + min(more, tiles)) / processes
    lines = [
        ("task", cfg.task),
        ("pictures", f"{len(files):,} in {tiles:,} tiles{_unreadable(counts)}; {fit.describe()}"),
        *_networks_of(module.gan),
        ("method", f"{_steps(module)}about {duration(cost.each)} a tile"),
        *needs(seconds, memory, device, processes),
        ("writes", to),
    ]
    return Plan(lines, seconds)


def _unreadable(counts: list[int]) -> str:
    failed = counts.count(0)
    return f", {failed} of them cannot be read" if failed else ""


def of_calibration(cfg: DictConfig, images: ImageSet, gan: GAN, config: Any, target: Path) -> Plan:
    """The plan of a measurement of residuals."""
    held_out = images.validation()
    count = min(CALIBRATION_IMAGES, len(held_out))
    few = torch.stack([held_out[i] for i in range(min(count, measure.IMAGES))])
    plain = config.replace(mask="none", tune_generator=False, latent_weight=0.0)
    seconds = measure.inversion(gan, plain, few).of(inverted_images(count))
    memory = measure.used_memory(gan.device) + measure.inversion_memory(gan, plain, count, None)
    lines = [
        ("task", cfg.task),
        ("dataset", dataset(images)),
        ("images", f"{count} held-out"),
        *_networks_of(gan),
        *needs(seconds, memory, gan.device, 1),
        ("writes", str(target.with_suffix(".json"))),
    ]
    return Plan(lines, seconds)


def parameters(**networks: nn.Module | None) -> str:
    """Numbers of parameters of the networks that there are."""
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items() if network}
    return "parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items())


def shape(card: Card) -> str:
    """A generator's family and sizes in words."""
    return f"{card.family}, {card.resolution} pixels, {_channels(card.channels)}, {card.latent_dim} codes"


def _networks_of(gan: GAN) -> list[tuple[str, str]]:
    return [("generator", f"{shape(gan.card)}; {parameters(**gan.modules())}")]


def _networks(modules: list[TestModule]) -> list[tuple[str, str]]:
    first = modules[0]
    if isinstance(first, InversionModule):
        return _networks_of(first.gan)
    return [("numbers", f"{first.baseline.size:,} in the state of the baseline, after a fit to a few images")]


def _steps(module: TestModule) -> str:
    if not isinstance(module, InversionModule):
        return ""
    config = module.config
    starts = f" from {config.starts} starts" if config.accelerated else ""
    return f"{config.iterations} steps{starts}, "


def dataset(images: ImageSet) -> str:
    """A dataset and its sizes in words."""
    name = HydraConfig.get().runtime.choices.dataset
    return f"{name}, category {images.category}, {images.resolution} pixels, {_channels(images.channels)}"


def count_images(images: ImageSet, tests: int | None) -> str:
    counts = [] if tests is None else [_count(tests, "test")]
    for kind, find in (("training", images.train), ("held-out", images.validation)):
        try:
            counts.append(_count(len(find()), kind))
        except InputError:  # the dataset has none
            continue
    return ", ".join(filter(None, counts))


def _count(number: int, kind: str) -> str:
    return f"{number:,} {kind}" if number else ""


def needs(seconds: float, memory: float, device: torch.device, processes: int) -> list[tuple[str, str]]:
    """Lines with device, memory and time.

    Args:
        seconds: expected time.
        memory: highest memory in bytes.
        device: device of the first process.
        processes: number of processes.
    """
    on = "CPU" if device.type == "cpu" else str(device)
    used = f"{on}, {processes} processes" if processes > 1 else on
    return [
        ("device", used),
        ("memory", f"about {memory / GIB:.1f} GiB{' on each' if processes > 1 else ''}"),
        ("time", f"about {duration(seconds)}, from a few steps measured now; start and report not counted"),
    ]


def run_files(cfg: DictConfig, files: Sequence[str]) -> str:
    """The run folder and its files in words."""
    return f"{run_folder(cfg)}/ with {', '.join((*files, *KEPT))}"


def _channels(count: int) -> str:
    return "grey" if count == 1 else f"{count} channels"
