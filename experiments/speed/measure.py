"""Seconds, operations and memory of both sides."""

import dataclasses
import os
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean, median
from threading import Event, Thread
from typing import NamedTuple
from unittest.mock import patch

import psutil
import torch
from loop import Published, invert_one, nearest
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from rgi import SolverConfig, invert
from rgi.generators.store import GAN
from rgi.inversion import basis
from rgi.inversion.result import Inversion

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
POOL = 1000  # latent codes that the published procedure tries, U(0,1)
FEW = 32  # codes of a pool where the start is not what is measured


class LoopRun(NamedTuple):
    """The published procedure on one image: its result, seconds of the whole start and of one step."""

    restored: Tensor
    mask: Tensor
    start: float
    step: float


class OurRun(NamedTuple):
    """Ours on a batch: its result, seconds in all, before the first step, of every step, and after the last."""

    inversion: Inversion
    seconds: float
    start: float
    steps: list[float]
    final: float


def now(device: torch.device) -> float:
    """Seconds, once the device has done what it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def run_loop(gan: GAN, image: Tensor, method: Published, pool_size: int = POOL) -> LoopRun:
    """The published procedure on one image (1,C,H,W); a start from fewer than `POOL` codes is scaled up."""
    pool = torch.rand(POOL, gan.card.latent_dim, generator=torch.Generator().manual_seed(0))[:pool_size].to(gan.device)
    started = now(gan.device)
    start = nearest(gan.generator, image, pool)
    between = now(gan.device)
    with tqdm(desc="plain loop", total=method.iterations, leave=False) as progress:
        restored, mask = invert_one(gan.generator, gan.critic, image, start, method, progress.update)
    ended = now(gan.device)
    return LoopRun(restored, mask, (between - started) * POOL / pool_size, (ended - between) / method.iterations)


def run_ours(gan: GAN, observed: Tensor, config: SolverConfig) -> OurRun:
    """Ours on a batch (B,C,H,W) that it works on in one part."""
    stamps = [now(gan.device)]
    with tqdm(desc=f"ours, {len(observed)} images", total=config.iterations, leave=False) as progress:

        def on_step(_: int) -> None:
            stamps.append(now(gan.device))
            progress.update()

        found = invert(gan, observed, config, on_step=on_step)
        ended = now(gan.device)
    steps = [after - before for before, after in pairwise(stamps[1:])]
    steps.insert(0, steps[0])  # where the start ends and the first step begins cannot be seen
    return OurRun(found, ended - stamps[0], stamps[1] - stamps[0] - steps[0], steps, ended - stamps[-1])


def shortened(config: SolverConfig, iterations: int, trial_steps: int = 1) -> SolverConfig:
    """A run of few steps from a small pool, with the same share of steps that move θ."""
    tune_from = round(config.tune_from * iterations / config.iterations)
    return config.replace(iterations=iterations, trial_steps=trial_steps, pool_size=FEW, tune_from=tune_from)


def steps_only(config: SolverConfig, iterations: int) -> SolverConfig:
    """A run of few steps from one start, and little before them."""
    return shortened(config, iterations).replace(starts=1, latent_basis="standard", compile=False)


def best_threads(run: Callable[[], object], device: torch.device) -> int:
    """The number of threads, one or all, with which ``run`` is faster; it is in force afterwards."""
    seconds = {}
    for threads in sorted({1, CORES}):
        torch.set_num_threads(threads)
        run()  # sets up kernels and memory
        started = now(device)
        run()
        seconds[threads] = now(device) - started
    best = min(seconds, key=seconds.get)
    torch.set_num_threads(best)
    return best


def threads_of_loop(gan: GAN, image: Tensor, method: Published, steps: int) -> int:
    """The best number of threads for the published procedure; it is in force afterwards."""
    few = dataclasses.replace(method, iterations=steps)
    return best_threads(lambda: run_loop(gan, image, few, pool_size=1), gan.device)


def threads_of_ours(gan: GAN, observed: Tensor, config: SolverConfig, steps: int) -> int:
    """The best number of threads for ours; it is in force afterwards."""
    return best_threads(lambda: invert(gan, observed, steps_only(config, steps)), gan.device)


def parts_of_ours(gan: GAN, observed: Tensor, config: SolverConfig) -> tuple[float, float, float, float]:
    """Seconds of the whole start, of a step with all starts, of one with the best start, and of the end.

    The start grows in proportion to the pool and to the gradients from which the basis is estimated, and is measured
    with few of both. The GAN keeps its basis, so that the second of two runs shows the pool's part alone.
    """
    short, more = shortened(config, iterations=4, trial_steps=2), 2 * FEW
    with patch.object(basis, "PROBES", basis.PROBE_BATCH):
        first = run_ours(gan, observed, short)
    second = run_ours(gan, observed, short.replace(pool_size=more))
    code = second.start / more
    batches = basis.PROBES / basis.PROBE_BATCH
    start = max(0.0, first.start - code * FEW) * batches + code * config.pool_size
    trial = fmean(run.steps[1] for run in (first, second))
    step = fmean(run.steps[3] for run in (first, second))
    return start, trial, step, second.final


def product_rate(side: int, dtype: torch.dtype, device: torch.device) -> float:
    """10⁹ operations per second of a product of two square matrices, with all threads."""
    torch.set_num_threads(CORES)
    matrix, seconds = torch.randn(side, side, device=device).to(dtype), []
    for _ in range(6):
        started = now(device)
        torch.matmul(matrix, matrix)
        seconds.append(now(device) - started)
    return 2 * side**3 / median(seconds[1:]) / 1e9


def network_rate(gan: GAN, images: int, config: SolverConfig, steps: list[float]) -> float:
    """10⁹ operations of the network per second of the steps, two for a multiply-add; ``steps`` are their seconds."""
    work = {tuned: step_work(gan, tuned) for tuned in (False, True)}
    gradients_from = 0 if config.warm_moments else config.tune_from
    total = 0.0
    for step in range(len(steps)):
        tries = config.starts if config.accelerated and step < config.trial_steps else 1
        total += images * tries * work[config.tune_generator and step >= gradients_from]
    return total / sum(steps) / 1e9


def step_work(gan: GAN, tuned: bool) -> float:
    """Operations of one image's forward and backward pass, to θ as well if it is ``tuned``."""
    code = torch.zeros(1, gan.card.latent_dim, device=gan.device, requires_grad=True)
    gan.generator.requires_grad_(tuned)
    with FlopCounterMode(display=False) as counter:
        gan.generator(code).sum().backward()
    gan.generator.zero_grad()
    gan.generator.requires_grad_(False)
    return counter.get_total_flops()


def hot_spots(gan: GAN, observed: Tensor, config: SolverConfig, steps: int, most: int = 5) -> dict[str, float]:
    """The operations of ours that take most, and their share in per cent, over a few steps."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler reports its own comings and goings
    cuda = gan.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        invert(gan, observed, steps_only(config, steps))
    attribute = "self_device_time_total" if cuda else "self_cpu_time_total"
    spent = {event.key: getattr(event, attribute) for event in profiler.key_averages()}
    total = sum(spent.values())
    return {key: 100 * spent[key] / total for key in sorted(spent, key=spent.get, reverse=True)[:most]}


class PeakMemory:
    """The resident memory of this process in MiB: ``before`` the context, and the ``most`` while it lasts."""

    def __enter__(self) -> "PeakMemory":
        self.process, self.left = psutil.Process(), Event()
        self.before = self.most = self._resident()
        self.watch = Thread(target=self._watch, daemon=True)
        self.watch.start()
        return self

    def _resident(self) -> float:
        return self.process.memory_info().rss / 2**20

    def _watch(self) -> None:
        while not self.left.wait(0.02):
            self.most = max(self.most, self._resident())

    def __exit__(self, *_: object) -> None:
        self.left.set()
        self.watch.join()
