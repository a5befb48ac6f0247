"""Measurement of time, operations and memory of our solver and of the published procedure."""

import dataclasses
import os
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

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
POOL = 1000  # latent codes from U(0,1) in the pool of the published procedure
TRIES = 3  # timed runs of each number of threads; the fastest one counts
SMALL_POOL = 32  # latent codes in the pool of measurements that do not need the start


class LoopRun(NamedTuple):
    """Run of the published procedure on one image.

    Attributes:
        restored: restored image (1,C,H,W).
        mask: mask (1,C,H,W).
        start: seconds of the start with `POOL` codes.
        step: seconds per step.
    """

    restored: Tensor
    mask: Tensor
    start: float
    step: float


class OurRun(NamedTuple):
    """Run of our solver on a batch.

    Attributes:
        inversion: result.
        seconds: total seconds.
        start: seconds before the first step.
        steps: seconds of each step.
        final: seconds after the last step.
    """

    inversion: Inversion
    seconds: float
    start: float
    steps: list[float]
    final: float


def now(device: torch.device) -> float:
    """Time in seconds after the device has finished all operations."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def run_loop(gan: GAN, image: Tensor, method: Published, pool_size: int = POOL) -> LoopRun:
    """Run the published procedure on one image.

    Args:
        gan: GAN.
        image: observed image (1,C,H,W).
        method: constants.
        pool_size: number of codes in the pool, at most `POOL`. The time of the start is scaled up to `POOL` codes.
    """
    pool = torch.rand(POOL, gan.card.latent_dim, generator=torch.Generator().manual_seed(0))[:pool_size].to(gan.device)
    started = now(gan.device)
    start = nearest(gan.generator, image, pool)
    between = now(gan.device)
    with tqdm(desc="plain loop", total=method.iterations, leave=False) as progress:
        restored, mask = invert_one(gan.generator, gan.critic, image, start, method, progress.update)
    ended = now(gan.device)
    return LoopRun(restored, mask, (between - started) * POOL / pool_size, (ended - between) / method.iterations)


def run_ours(gan: GAN, observed: Tensor, config: SolverConfig) -> OurRun:
    """Run our solver.

    Args:
        gan: GAN.
        observed: observed images (B,C,H,W), few enough for one part of the solver.
        config: solver configuration.
    """
    times = [now(gan.device)]
    with tqdm(desc=f"ours, {len(observed)} images", total=config.iterations, leave=False) as progress:

        def on_step(_: int) -> None:
            times.append(now(gan.device))
            progress.update()

        inversion = invert(gan, observed, config, on_step=on_step)
        ended = now(gan.device)
    steps = [after - before for before, after in pairwise(times[1:])]
    steps.insert(0, steps[0])  # the time of the first step cannot be measured separately
    return OurRun(inversion, ended - times[0], times[1] - times[0] - steps[0], steps, ended - times[-1])


def shortened(config: SolverConfig, iterations: int, trial_steps: int = 1) -> SolverConfig:
    """Configuration with few steps, a small pool, and the same share of tuning steps.

    Args:
        config: configuration of the full run.
        iterations: number of steps.
        trial_steps: steps until only one start is left.
    """
    tune_from = round(config.tune_from * iterations / config.iterations)
    return config.replace(iterations=iterations, trial_steps=trial_steps, pool_size=SMALL_POOL, tune_from=tune_from)


def steps_only(config: SolverConfig, iterations: int) -> SolverConfig:
    """Configuration with few steps, one start, and a short setup.

    Args:
        config: configuration of the full run.
        iterations: number of steps.
    """
    return shortened(config, iterations).replace(starts=1, latent_basis="standard", compile=False)


def best_threads(run: Callable[[], object], device: torch.device) -> int:
    """Find the faster number of threads: 1 or all. PyTorch uses this number afterwards.

    Args:
        run: function that is timed.
        device: device that the function uses.
    """
    seconds = {}
    for threads in sorted({1, CORES}):
        torch.set_num_threads(threads)
        run()  # warm-up
        times = [now(device)]
        for _ in range(TRIES):
            run()
            times.append(now(device))
        seconds[threads] = min(after - before for before, after in pairwise(times))
    best = min(seconds, key=seconds.get)
    torch.set_num_threads(best)
    return best


def threads_of_loop(gan: GAN, image: Tensor, method: Published, steps: int) -> int:
    """Find the faster number of threads for the published procedure, see `best_threads`.

    Args:
        gan: GAN.
        image: observed image (1,C,H,W).
        method: constants.
        steps: number of steps in a timed run.
    """
    few = dataclasses.replace(method, iterations=steps)
    return best_threads(lambda: run_loop(gan, image, few, pool_size=1), gan.device)


def threads_of_ours(gan: GAN, observed: Tensor, config: SolverConfig, steps: int) -> int:
    """Find the faster number of threads for our solver, see `best_threads`.

    Args:
        gan: GAN.
        observed: observed images (B,C,H,W).
        config: solver configuration.
        steps: number of steps in a timed run.
    """
    return best_threads(lambda: invert(gan, observed, steps_only(config, steps)), gan.device)


def parts_of_ours(gan: GAN, observed: Tensor, config: SolverConfig) -> tuple[float, float, float, float]:
    """Estimate the time of the parts of our solver from short runs.

    The start evaluates the pool and estimates the basis. Its time grows linearly with the pool size and with the number
    of gradients for the basis. The short runs use a small pool and few gradients. The GAN caches its basis, so the
    start of the second run only evaluates the pool.

    Args:
        gan: GAN without a cached basis.
        observed: observed images (B,C,H,W).
        config: solver configuration of the full run.

    Returns:
        Seconds of the start, of a step with all starts, of a step with the best start, and of the final evaluation.
    """
    short, more = shortened(config, iterations=2, trial_steps=100), 2 * SMALL_POOL
    with patch.object(basis, "PROBES", basis.PROBE_BATCH):
        first = run_ours(gan, observed, short)
    second = run_ours(gan, observed, short.replace(pool_size=more, starts=1))
    code = second.start / more
    batches = basis.PROBES / basis.PROBE_BATCH
    start = max(0.0, first.start - code * SMALL_POOL) * batches + code * config.pool_size
    return start, first.steps[1], second.steps[1], second.final


def product_rate(side: int, dtype: torch.dtype, device: torch.device) -> float:
    """Measure the rate of a product of two square matrices with all threads, in GFLOP/s.

    Args:
        side: side length of the matrices.
        dtype: type of the matrices.
        device: device of the product.
    """
    torch.set_num_threads(CORES)
    matrix, seconds = torch.randn(side, side, device=device).to(dtype), []
    for _ in range(6):
        started = now(device)
        torch.matmul(matrix, matrix)
        seconds.append(now(device) - started)
    return 2 * side**3 / median(seconds[1:]) / 1e9


def network_rate(gan: GAN, images: int, config: SolverConfig, steps: list[float]) -> float:
    """Rate of the networks in our steps in GFLOP/s. A multiply-add is two operations.

    Args:
        gan: GAN.
        images: number of images.
        config: solver configuration.
        steps: seconds of each step.
    """
    work = {tuned: step_work(gan, tuned) for tuned in (False, True)}
    gradients_from = 0 if config.warm_moments else config.tune_from
    total = 0.0
    for step in range(len(steps)):
        tries = config.starts_in(step) if config.accelerated else 1
        total += images * tries * work[config.tune_generator and step >= gradients_from]
    return total / sum(steps) / 1e9


def step_work(gan: GAN, tuned: bool) -> float:
    """Operations of a forward and a backward pass of one image.

    Args:
        gan: GAN.
        tuned: whether the backward pass includes θ.
    """
    code = torch.zeros(1, gan.card.latent_dim, device=gan.device, requires_grad=True)
    gan.generator.requires_grad_(tuned)
    with FlopCounterMode(display=False) as counter:
        gan.generator(code).sum().backward()
    gan.generator.zero_grad()
    gan.generator.requires_grad_(False)
    return counter.get_total_flops()


def hot_spots(gan: GAN, observed: Tensor, config: SolverConfig, steps: int, limit: int = 5) -> dict[str, float]:
    """Profile a few steps of our solver.

    Args:
        gan: GAN.
        observed: observed images (B,C,H,W).
        config: solver configuration.
        steps: number of steps.
        limit: number of operations in the result.

    Returns:
        Share of the time in per cent of the slowest operations, by name.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # hides messages of the profiler
    cuda = gan.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        invert(gan, observed, steps_only(config, steps))
    attribute = "self_device_time_total" if cuda else "self_cpu_time_total"
    spent = {event.key: getattr(event, attribute) for event in profiler.key_averages()}
    total = sum(spent.values())
    return {key: 100 * spent[key] / total for key in sorted(spent, key=spent.get, reverse=True)[:limit]}
