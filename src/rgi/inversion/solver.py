"""Robust GAN inversion (Mou et al., ICLR 2023) and its relatives, one optimisation with different switches."""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Adam

from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.problem import Problem
from rgi.inversion.result import Inversion
from rgi.inversion.weights import ImageWeights, SharedWeights

SETTLE_STEPS = 10  # over which `tolerance` is measured; looking more often would make a GPU wait


def invert(
    gan: GAN,
    observed: Tensor,
    config: SolverConfig | None = None,
    given_mask: Tensor | None = None,
    latent_start: Tensor | None = None,
    pool: Tensor | None = None,
    seed: int = 0,
    on_step: Callable[[], None] | None = None,
) -> Inversion:
    """Explain images by a generator and a sparse mask.

    For each image x on its own, minimise over z and, as ``config`` says, M and θ

        Σ data((1-M) (x - G_θ(z))) + λ |M|_1 - w D(G_θ(z)).

    Args:
        gan: left as it is; the work runs on its device.
        observed: x, (B,C,H,W), any finite values; clean images lie in [-1, 1].
        config: the method; None is our mask-free RGI.
        given_mask: (B,1,H,W) or (B,C,H,W) in [0,1], 1 = ignore; used and required with ``mask="given"``.
        latent_start: (B,d); used and required with ``latent_start="given"``.
        pool: (N,d) latent codes in place of the drawn ones.
        seed: of the drawn pool alone.
        on_step: called after every step, to show progress.

    Returns:
        Detached results, float64 with ``precision="float64"``, else float32. No image's result depends on the
        others in the batch.

    Raises:
        ValueError: an argument that is missing, of the wrong shape, or not finite; the message names it.
    """
    started = time.perf_counter()
    config = config or SolverConfig()
    # Callers may have switched gradients off; tensors made in inference mode could not be differentiated either.
    with torch.inference_mode(False), torch.enable_grad():
        problem = Problem(gan, observed.clone(), config, given_mask)
        run = Run(problem, problem.start(latent_start, pool, seed))
        for step in range(config.iterations):
            run.step(step)
            if run.finished:
                break
            if on_step:
                on_step()
        return run.result(started)


class Run:
    """The state of an optimisation: z, M, θ, one Adam over all three, and which images are still in it."""

    def __init__(self, problem: Problem, z: Tensor) -> None:
        self.problem, self.config = problem, problem.config
        self.latent = z.clone().requires_grad_()
        self.mask = self._initial_mask() if self.config.mask == "adam" else None
        self.weights: SharedWeights | ImageWeights = problem.shared
        self.optimizer = Adam([{"params": [self.latent]}], betas=self.config.betas, fused=True)
        if self.mask is not None:
            self.optimizer.add_param_group({"params": [self.mask]})
        self.rows = torch.arange(len(z), device=z.device)  # the images still in the run, by position in the batch
        self.history: list[tuple[Tensor, Tensor]] = []  # per step: rows, and their objectives
        self.parts: list[tuple[Tensor, dict[str, Tensor]]] = []  # rows that are finished, and their results

    @property
    def finished(self) -> bool:
        """Whether every image has settled."""
        return not len(self.rows)

    def _initial_mask(self) -> Tensor:
        observed = self.problem.observed
        shape = observed if self.config.mask_shape == "channel" else observed[:, :1]
        start = torch.zeros_like(shape) if self.config.mask_init == "zeros" else torch.ones_like(shape)
        return start.requires_grad_()

    def step(self, step: int) -> None:
        """One joint, simultaneous step on z, M and θ."""
        config = self.config
        if config.tolerance is not None and step and step % SETTLE_STEPS == 0:
            self._retire()
            if self.finished:
                return
        if config.tune_generator and step == (0 if config.warm_moments else config.tune_from):
            self._copy_weights()
        objective, _ = self.problem.evaluate(self.weights(self.latent), self.mask)
        self.history.append((self.rows, objective.detach()))
        self._set_rates(step)
        leaves = [leaf for group in self.optimizer.param_groups for leaf in group["params"]]
        # Σ over the batch: an image's leaves enter its own term only. The paper's toRGB layers below full size
        # take no part in the image.
        gradients = torch.autograd.grad(objective.sum(), leaves, allow_unused=True)
        # The fused Adam walks raw memory: a gradient of another layout than its leaf would be applied to wrong places.
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = None if gradient is None else gradient.contiguous()
        self.optimizer.step()

    def _copy_weights(self) -> None:
        problem = self.problem
        dtype = problem.shared.dtype
        self.weights = ImageWeights(problem.gan.generator, len(self.latent), problem.dtype, dtype)
        self.optimizer.add_param_group({"params": self.weights.parameters})

    def _set_rates(self, step: int) -> None:
        """Rates of this step; 0 leaves a variable in place while its moments go on."""
        config, factor = self.config, self.config.rate(step)
        frozen = config.freeze_mask_from is not None and step >= config.freeze_mask_from
        rates = [config.lr_latent]
        if self.mask is not None:
            rates.append(0.0 if frozen else config.lr_mask)
        if isinstance(self.weights, ImageWeights):
            rates.append(config.lr_generator if step >= config.tune_from else 0.0)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor

    def _retire(self) -> None:
        """Take the images whose objective has settled out of the batch."""
        (rows, before), (_, now) = self.history[-SETTLE_STEPS], self.history[-1]
        before = before[torch.isin(rows, self.rows)]
        settled = before - now < self.config.tolerance * before.abs()
        if not settled.any():
            return
        self._finish(settled)
        stay = ~settled
        self.rows = self.rows[stay]
        self.problem.keep(stay)
        groups = self.optimizer.param_groups
        for group in groups:
            group["params"] = [self._shrink(leaf, stay) for leaf in group["params"]]
        (self.latent,) = groups[0]["params"]
        if self.mask is not None:
            (self.mask,) = groups[1]["params"]
        if isinstance(self.weights, ImageWeights):
            self.weights.parameters = groups[-1]["params"]

    def _shrink(self, leaf: Tensor, stay: Tensor) -> Tensor:
        """The rows of a leaf that stay, their Adam state with them."""
        kept = leaf.detach()[stay].requires_grad_()
        state = self.optimizer.state.pop(leaf, {})
        self.optimizer.state[kept] = {name: v if name == "step" else v[stay] for name, v in state.items()}
        return kept

    @torch.no_grad()
    def _finish(self, rows: Tensor) -> None:
        """Evaluate the present point once more and keep the results of these rows."""
        image = self.weights(self.latent)
        objective, mask = self.problem.evaluate(image, self.mask)
        steps = torch.full_like(self.rows, len(self.history))
        found = {"restored": image, "mask": mask, "latent": self.latent.detach(), "objective": objective}
        found |= {"observed": self.problem.observed, "iterations": steps}
        self.parts.append((self.rows[rows], {name: value[rows] for name, value in found.items()}))

    def result(self, started: float) -> Inversion:
        """Everything in the order of the batch."""
        if len(self.rows):
            self._finish(torch.ones_like(self.rows, dtype=torch.bool))
        order = torch.cat([rows for rows, _ in self.parts]).argsort()
        found = {name: torch.cat([part[name] for _, part in self.parts])[order] for name in self.parts[0][1]}
        history = found["objective"].new_full((len(self.history), len(order)), torch.nan)
        for step, (rows, objective) in enumerate(self.history):
            history[step, rows] = objective
        optimised = self.config.mask in ("profiled", "adam")
        return Inversion(**found, history=history, mask_optimised=optimised, seconds=time.perf_counter() - started)
