"""Robust GAN inversion (Mou et al., ICLR 2023) and related methods: one optimisation for all configurations."""

import logging
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from rgi.generators.store import GAN
from rgi.inversion.basis import metric_basis
from rgi.inversion.config import SolverConfig
from rgi.inversion.memory import images_at_once
from rgi.inversion.optimisation import Optimisation
from rgi.inversion.problem import Problem
from rgi.inversion.result import Inversion

log = logging.getLogger(__name__)


def invert(
    gan: GAN,
    observed: Tensor,
    config: SolverConfig | None = None,
    given_mask: Tensor | None = None,
    latent_start: Tensor | None = None,
    pool: Tensor | None = None,
    seed: int = 0,
    on_step: Callable[[int], object] | None = None,
) -> Inversion:
    """Find the latent code and the mask of each image by optimisation.

    For each image x, the function minimises over z and, depending on ``config``, over M and θ

        Σ data((1-M) (x - G_θ(z))) + λ |M|_1 - w D(G_θ(z)) + v |z|²,

    where data is the square or the absolute value, λ is `mask_penalty`, w is `critic_weight` and v is `latent_weight`.
    Without the last two terms this is the objective of Mou et al., ICLR 2023.

    Args:
        gan: GAN, which stays unchanged; the optimisation runs on its device.
        observed: images x, (B,C,H,W), with finite values; clean images are in [-1,1]. Large batches are split into
            parts that fit into memory.
        config: method; None means `SolverConfig()`, mask-free RGI.
        given_mask: mask (B,1,H,W) or (B,C,H,W) in [0,1], 1 = ignore; required with ``mask="given"``, else unused.
        latent_start: latent codes (B,d) at step 0; required with ``latent_start="given"``, else unused.
        pool: latent codes (N,d) to start from; None means random codes.
        seed: seed of the random codes of the pool.
        on_step: function that is called after each step with the number of images in the step, for a progress bar.

    Returns:
        Detached results, float64 with ``precision="float64"``, else float32. The result of an image does not depend on
        the other images in the batch.

    Raises:
        ValueError: an argument is missing, has the wrong shape, or is not finite; the message names the argument.
    """
    started = time.perf_counter()
    config = config or SolverConfig()
    # The caller may have disabled gradients or enabled autocast, and tensors from inference mode have no gradients.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(gan.device.type, enabled=False):
        problem = Problem(gan, observed.clone(), config, given_mask)
        starts = problem.starts(latent_start, pool, seed)
        basis = (
            metric_basis(gan, problem.network, problem.dtype)
            if config.accelerated and config.latent_basis == "metric"
            else None
        )
        positions = torch.arange(len(observed), device=gan.device)
        parts = []
        most = images_at_once(problem)
        while len(positions):
            part = _solve_part(problem, starts, basis, positions[:most], on_step)
            if part is None:
                most = max(1, min(most, len(positions)) // 2)
                continue
            parts.append(part)
            positions = positions[most:]
    return _join(parts, config.mask in ("profiled", "adam"), time.perf_counter() - started)


def _solve_part(
    problem: Problem,
    starts: Callable[[Tensor], Tensor],
    basis: Tensor | None,
    rows: Tensor,
    on_step: Callable[[int], object] | None,
) -> dict[str, Tensor] | None:
    """Results of some images of the batch; None if the memory did not suffice for several of them."""
    reported = 0

    def count(images: int) -> None:
        nonlocal reported
        reported += images
        if on_step:
            on_step(images)

    try:
        return Optimisation(problem.select(rows), starts(rows), basis).solve(count)
    except (RuntimeError, MemoryError) as error:
        if len(rows) == 1 or not _is_out_of_memory(error):
            raise
    # Behind the except block, because the exception keeps the tensors of the failed optimisation alive.
    log.warning("%d images at once did not fit into memory; trying half of them", len(rows))
    count(-reported)
    if problem.gan.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory is lacking; on a CPU, PyTorch raises a RuntimeError of no kind of its own."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _join(parts: Sequence[dict[str, Tensor]], mask_optimised: bool, seconds: float) -> Inversion:
    """Join the results of the parts of a batch; NaN fills the history of parts with fewer steps."""
    longest = max(len(part["history"]) for part in parts)
    for part in parts:
        part["history"] = pad(part["history"], (0, 0, 0, longest - len(part["history"])), value=torch.nan)
    results = {name: torch.cat([part[name] for part in parts], int(name == "history")) for name in parts[0]}
    return Inversion(**results, mask_optimised=mask_optimised, seconds=seconds)
