"""Robust GAN inversion (Mou et al., ICLR 2023) and its relatives, one optimisation with different switches."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.optim import Adam

from rgi.generators.store import GAN
from rgi.inversion.basis import metric_basis
from rgi.inversion.config import SolverConfig
from rgi.inversion.memory import images_at_once
from rgi.inversion.problem import Problem
from rgi.inversion.result import Inversion
from rgi.inversion.weights import ImageWeights, SharedWeights

SETTLE_STEPS = 10  # over which `tolerance` is measured; looking more often would make a GPU wait
SETTLE_RATE = 0.25  # of the schedule: before it has fallen to this, an objective that stands still does so for its rate


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
    """Explain images by a generator and a sparse mask.

    For each image x on its own, minimise over z and, as ``config`` says, M and θ

        Σ data((1-M) (x - G_θ(z))) + λ |M|_1 - w D(G_θ(z)).

    Args:
        gan: left as it is; the work runs on its device.
        observed: x, (B,C,H,W), any finite values; clean images lie in [-1, 1]. Worked on in parts that fit into
            memory, so that B may be as large as the result.
        config: the method; None is our mask-free RGI.
        given_mask: (B,1,H,W) or (B,C,H,W) in [0,1], 1 = ignore; used and required with ``mask="given"``.
        latent_start: (B,d); used and required with ``latent_start="given"``.
        pool: (N,d) latent codes in place of the drawn ones.
        seed: of the drawn pool alone.
        on_step: called after every step with the number of images that took it, to show progress.

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
        starts = problem.starts(latent_start, pool, seed)
        basis = (
            metric_basis(gan, problem.network, problem.dtype)
            if config.ours and config.latent_basis == "metric"
            else None
        )
        everything = torch.arange(len(observed), device=gan.device)
        parts = [
            Optimisation(problem.select(rows), starts(rows), basis).solve(on_step)
            for rows in everything.split(images_at_once(problem))
        ]
    return _join(parts, config.mask in ("profiled", "adam"), time.perf_counter() - started)


class Optimisation:
    """The optimisation of some images: z, M and θ under one Adam, a row for each image and start that is still in it.

    Args:
        problem: the images.
        starts: z at step 0, (B,k,d); of several the one with the lowest objective goes on after `config.trial_steps`.
        basis: orthonormal columns (d,d) in which z moves, or None for its own coordinates.
    """

    def __init__(self, problem: Problem, starts: Tensor, basis: Tensor | None) -> None:
        self.config, self.basis = problem.config, basis
        count, tries, _ = starts.shape
        self.rows = torch.arange(count, device=starts.device).repeat_interleave(tries)  # positions in `problem`
        self.problem = problem.select(self.rows) if tries > 1 else problem
        self.tries = tries
        self.start = starts.flatten(0, 1)
        # What Adam moves: z itself, or its displacement in the basis.
        self.code = (self.start.clone() if basis is None else torch.zeros_like(self.start)).requires_grad_()
        self.mask = self._initial_mask() if self.config.mask == "adam" else None
        self.weights: SharedWeights | ImageWeights = problem.network
        self.optimizer = Adam([{"params": [self.code]}], betas=self.config.betas, fused=True)
        if self.mask is not None:
            self.optimizer.add_param_group({"params": [self.mask]})
        self.history: list[tuple[Tensor, Tensor]] = []  # per step: rows, and their objectives
        self.parts: list[tuple[Tensor, dict[str, Tensor]]] = []  # rows that are finished, and their results

    def _initial_mask(self) -> Tensor:
        observed = self.problem.observed
        shape = observed if self.config.mask_shape == "channel" else observed[:, :1]
        start = torch.zeros_like(shape) if self.config.mask_init == "zeros" else torch.ones_like(shape)
        return start.requires_grad_()

    def solve(self, on_step: Callable[[int], object] | None) -> dict[str, Tensor]:
        """Take the steps; returns the fields of an `Inversion` that have one row per image."""
        for step in range(self.config.iterations):
            if self.tries > 1 and step == self.config.trial_steps:
                self._keep_best_starts(self.history[-1][1])
            if self._may_remove_images(step):
                self._remove_settled()
                if not len(self.rows):
                    break
            self._step(step)
            if on_step:
                on_step(len(self.rows) // self.tries)
        return self._result()

    def _step(self, step: int) -> None:
        """One joint, simultaneous step on z, M and θ."""
        config = self.config
        if config.tune_generator and step == (0 if config.warm_moments else config.tune_from):
            self._copy_weights()
        image = self.weights(self._latent())
        objective, _ = self.problem.evaluate(image, self.mask, config.penalty_factor(step))
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

    def _latent(self) -> Tensor:
        return self.code if self.basis is None else self.start + self.code @ self.basis.T

    def _copy_weights(self) -> None:
        generator, network = self.problem.gan.generator, self.problem.network
        self.weights = ImageWeights(generator, len(self.code), self.problem.dtype, network.dtype, self.config.compile)
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

    def _keep_best_starts(self, objective: Tensor) -> None:
        """Go on with the best start of each image."""
        stay = torch.zeros_like(objective, dtype=torch.bool).unflatten(0, (-1, self.tries))
        stay.scatter_(1, objective.unflatten(0, (-1, self.tries)).argmin(1, keepdim=True), True)
        self._keep(stay.flatten())
        self.tries = 1

    def _may_remove_images(self, step: int) -> bool:
        """Whether this is a step in which images may leave: objectives of one start and one λ lie behind them."""
        config = self.config
        if config.tolerance is None or step % SETTLE_STEPS or self.tries > 1:
            return False
        if config.schedule == "cosine" and config.rate(step) > SETTLE_RATE:
            return False
        same = step - SETTLE_STEPS
        return same >= config.trial_steps and config.penalty_factor(same) == 1

    def _remove_settled(self) -> None:
        """Take the images whose objective has settled out of the batch."""
        (rows, before), (_, now) = self.history[-SETTLE_STEPS], self.history[-1]
        before = before[torch.isin(rows, self.rows)]
        settled = before - now < self.config.tolerance * before.abs()
        # A compiled network would be compiled anew for every size of the batch.
        if settled.all() if self.config.compile else settled.any():
            self._finish(settled)
            self._keep(~settled)

    def _keep(self, stay: Tensor) -> None:
        """Go on with these rows only."""
        self.rows, self.start = self.rows[stay], self.start[stay]
        self.problem = self.problem.select(stay)
        groups = self.optimizer.param_groups
        for group in groups:
            group["params"] = [self._select_rows(leaf, stay) for leaf in group["params"]]
        (self.code,) = groups[0]["params"]
        if self.mask is not None:
            (self.mask,) = groups[1]["params"]
        if isinstance(self.weights, ImageWeights):
            self.weights.parameters = groups[-1]["params"]

    def _select_rows(self, leaf: Tensor, stay: Tensor) -> Tensor:
        """The rows of a leaf that stay, their Adam state with them."""
        kept = leaf.detach()[stay].requires_grad_()
        state = self.optimizer.state.pop(leaf, {})
        self.optimizer.state[kept] = {name: v if name == "step" else v[stay] for name, v in state.items()}
        return kept

    @torch.no_grad()
    def _finish(self, rows: Tensor) -> None:
        """Evaluate the present point once more, in full precision, and keep the results of these rows."""
        latent = self._latent()
        tuned = isinstance(self.weights, ImageWeights)
        image = self.weights.full_precision(latent) if tuned else self.problem.full_precision_network(latent)
        objective, mask = self.problem.evaluate(image, self.mask)
        steps = torch.full_like(self.rows, len(self.history))
        found = {"restored": image, "mask": mask, "latent": latent, "objective": objective}
        found |= {"observed": self.problem.observed, "iterations": steps}
        self.parts.append((self.rows[rows], {name: value[rows].detach() for name, value in found.items()}))

    def _result(self) -> dict[str, Tensor]:
        """The results in the order of the images."""
        if self.tries > 1:  # the run was shorter than the trial
            self._keep_best_starts(self.history[-1][1])
        if len(self.rows):
            self._finish(torch.ones_like(self.rows, dtype=torch.bool))
        order = torch.cat([rows for rows, _ in self.parts]).argsort()
        found = {name: torch.cat([part[name] for _, part in self.parts])[order] for name in self.parts[0][1]}
        found["evaluations"] = 1 + torch.cat([rows for rows, _ in self.history]).bincount(minlength=len(order))
        history = found["objective"].new_full((len(self.history), len(order)), torch.inf)
        for step, (rows, objective) in enumerate(self.history):
            history[step].scatter_reduce_(0, rows, objective, "amin")
        return found | {"history": history.masked_fill(history == torch.inf, torch.nan)}


def _join(parts: Sequence[dict[str, Tensor]], mask_optimised: bool, seconds: float) -> Inversion:
    """One result from those of the parts of a batch, of which some may have taken fewer steps."""
    longest = max(len(part["history"]) for part in parts)
    for part in parts:
        part["history"] = pad(part["history"], (0, 0, 0, longest - len(part["history"])), value=torch.nan)
    found = {name: torch.cat([part[name] for part in parts], int(name == "history")) for name in parts[0]}
    return Inversion(**found, mask_optimised=mask_optimised, seconds=seconds)
