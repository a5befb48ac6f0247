"""The optimisation of a part of a batch, step by step."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Adam

from rgi.inversion.problem import Problem
from rgi.inversion.weights import ImageWeights, SharedWeights, tuning

SETTLE_STEPS = 10  # steps between two checks of `tolerance`; each check makes the CPU wait for the GPU
# Highest factor of the schedule at a check. Earlier the objective may stand still because the rate is still high.
SETTLE_RATE = 0.25


class Optimisation:
    """The optimisation of a part of a batch: one Adam optimiser for z, M and θ.

    A row is an image with one of its starts. Rows leave the optimisation when another start of the image is better, or
    when the objective has settled.

    Args:
        problem: objective of the images.
        starts: z at step 0, (B,k,d), k starts per image. Those with the lowest objectives continue, see
            `SolverConfig.starts_in`.
        basis: orthonormal basis (d,d) of the latent space, in columns, in which Adam moves z; None for the standard
            basis.
    """

    def __init__(self, problem: Problem, starts: Tensor, basis: Tensor | None) -> None:
        self.config, self.basis = problem.config, basis
        count, tries, _ = starts.shape
        # Position of the image of each row in the original problem.
        self.rows = torch.arange(count, device=starts.device).repeat_interleave(tries)
        self.problem = problem.select(self.rows) if tries > 1 else problem
        self.tries = tries
        self.start = starts.flatten(0, 1)
        # Adam moves z itself, or the displacement from the start in the basis.
        self.code = (self.start.clone() if basis is None else torch.zeros_like(self.start)).requires_grad_()
        self.mask = self._initial_mask() if self.config.mask == "adam" else None
        self.weights: SharedWeights | ImageWeights = problem.network
        self.tuned = tuning(problem.gan.generator, self.config)
        self.optimizer = Adam([{"params": [self.code]}], betas=self.config.betas, fused=True)
        if self.mask is not None:
            self.optimizer.add_param_group({"params": [self.mask]})
        self.history: list[tuple[Tensor, Tensor]] = []  # rows and their objectives, for each step
        self.passes: list[Tensor] = []  # rows of each forward pass
        self.parts: list[tuple[Tensor, dict[str, Tensor]]] = []  # finished rows and their results

    def _initial_mask(self) -> Tensor:
        observed = self.problem.observed
        shape = observed if self.config.mask_shape == "channel" else observed[:, :1]
        start = torch.zeros_like(shape) if self.config.mask_init == "zeros" else torch.ones_like(shape)
        return start.requires_grad_()

    def solve(self, on_step: Callable[[int], object] | None) -> dict[str, Tensor]:
        """Run the optimisation.

        Args:
            on_step: function that is called after each step with the number of images in the step; or None.

        Returns:
            Name to value of all fields of `Inversion` with one row per image.
        """
        for step in range(self.config.iterations):
            if self.config.starts_in(step) < self.tries:
                self._keep_best_starts(self.config.starts_in(step))
            if self._may_remove_images(step):
                self._remove_settled()
                if not len(self.rows):
                    break
            self._step(step)
            if on_step:
                on_step(len(self.rows) // self.tries)
        return self._result()

    def _step(self, step: int) -> None:
        """One step of z, M and θ with the gradients at the same point."""
        config = self.config
        if config.tune_generator and step == (0 if config.warm_moments else config.tune_from):
            self._copy_weights()
        latent = self._latent()
        image = self.weights(latent)
        self.passes.append(self.rows)
        if config.holds_mask(step):
            self.problem.hold(image.detach())
        factor = config.penalty_factor(step)
        objective, _ = self.problem.evaluate(image, latent, self.mask, factor)
        self.history.append((self.rows, objective.detach()))
        self._set_rates(step)
        leaves = [leaf for group in self.optimizer.param_groups for leaf in group["params"]]
        held = self.problem.held_mask is not None
        # The sum has the same gradients as the separate objectives, because no variable belongs to two images.
        # `allow_unused`: toRGB layers of a progressive GAN below the full resolution do not affect the image.
        gradients = torch.autograd.grad(
            objective.sum(), leaves[:1] if held else leaves, retain_graph=held and not config.compile, allow_unused=True
        )
        if held:
            gradients += self._gradients_of_weights(image, latent.detach(), factor, leaves[1:])
        # The fused Adam ignores strides, so a gradient must have the same memory layout as its variable.
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = None if gradient is None else gradient.contiguous()
        self.optimizer.step()

    def _gradients_of_weights(
        self, image: Tensor, latent: Tensor, factor: float, weights: list[Tensor]
    ) -> tuple[Tensor | None, ...]:
        """Gradients of the objective with the held mask; z has the objective without it."""
        if self.config.compile:  # its graph can be used once
            image = self.weights(latent)
            self.passes.append(self.rows)
        objective, _ = self.problem.evaluate(image, latent, factor=factor, held=True)
        return torch.autograd.grad(objective.sum(), weights, allow_unused=True)

    def _latent(self) -> Tensor:
        return self.code if self.basis is None else self.start + self.code @ self.basis.T

    def _copy_weights(self) -> None:
        generator, network = self.problem.gan.generator, self.problem.network
        sizes, compiled = (len(self.code), self.problem.dtype, network.dtype), self.config.compile
        self.weights = ImageWeights(generator, *sizes, compiled, self.tuned.names)
        eps = self.tuned.eps * self.config.eps_generator
        self.optimizer.add_param_group({"params": self.weights.parameters, "eps": eps})

    def _set_rates(self, step: int) -> None:
        """Set the learning rates of a step. Rate 0 stops a variable but still updates the moments of Adam."""
        config, factor = self.config, self.config.rate(step)
        frozen = config.freeze_mask_from is not None and step >= config.freeze_mask_from
        rates = [config.lr_latent]
        if self.mask is not None:
            rates.append(0.0 if frozen else config.lr_mask)
        if isinstance(self.weights, ImageWeights):
            rates.append(self.tuned.rate * config.lr_generator if step >= config.tune_from else 0.0)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor

    def _keep_best_starts(self, count: int) -> None:
        """Keep only this number of starts of each image: those with the lowest objectives in the last step."""
        objective = self.history[-1][1].unflatten(0, (-1, self.tries))
        best = objective.argsort(dim=1, stable=True)[:, :count]
        self._keep(torch.zeros_like(objective, dtype=torch.bool).scatter_(1, best, True).flatten())
        self.tries = count

    def _may_remove_images(self, step: int) -> bool:
        """Whether settled images may leave in this step.

        A check needs the objectives of the last `SETTLE_STEPS` steps with one start per image and the final λ, and with
        tuned weights if the generator is tuned.
        """
        config = self.config
        if config.tolerance is None or step % SETTLE_STEPS or self.tries > 1:
            return False
        if config.schedule == "cosine" and config.rate(step) > SETTLE_RATE:
            return False
        first = step - SETTLE_STEPS
        tuned = not config.tune_generator or first >= config.tune_from
        return tuned and first >= config.trial_steps and config.penalty_factor(first) == 1

    def _remove_settled(self) -> None:
        """Store the results of images whose objective has settled, and remove these images from the batch."""
        (rows, before), (_, now) = self.history[-SETTLE_STEPS], self.history[-1]
        before = before[torch.isin(rows, self.rows)]
        settled = before - now < self.config.tolerance * before.abs()
        # A new batch size compiles the network again, so compiled networks wait until all images have settled.
        if settled.all() if self.config.compile else settled.any():
            self._finish(settled)
            self._keep(~settled)

    def _keep(self, stay: Tensor) -> None:
        """Keep only the rows where the mask ``stay`` is True."""
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
        """The kept rows of an optimised variable, with their part of Adam's state."""
        kept = leaf.detach()[stay].requires_grad_()
        state = self.optimizer.state.pop(leaf, {})
        self.optimizer.state[kept] = {name: v if name == "step" else v[stay] for name, v in state.items()}
        return kept

    @torch.no_grad()
    def _finish(self, rows: Tensor) -> None:
        """Evaluate the objective in full precision at the current point, and store the results of some rows."""
        latent = self._latent()
        tuned = isinstance(self.weights, ImageWeights)
        image = self.weights.full_precision(latent) if tuned else self.problem.full_precision_network(latent)
        objective, mask = self.problem.evaluate(image, latent, self.mask)
        steps = torch.full_like(self.rows, len(self.history))
        results = {"restored": image, "mask": mask, "latent": latent, "objective": objective}
        results |= {"observed": self.problem.observed, "iterations": steps}
        self.parts.append((self.rows[rows], {name: value[rows].detach() for name, value in results.items()}))

    def _result(self) -> dict[str, Tensor]:
        """The results of all images, in the order of the images."""
        if self.tries > 1:  # `iterations` <= `trial_steps`
            self._keep_best_starts(1)
        if len(self.rows):
            self._finish(torch.ones_like(self.rows, dtype=torch.bool))
        order = torch.cat([rows for rows, _ in self.parts]).argsort()
        results = {name: torch.cat([part[name] for _, part in self.parts])[order] for name in self.parts[0][1]}
        # One more evaluation in `_finish`.
        results["evaluations"] = 1 + torch.cat(self.passes).bincount(minlength=len(order))
        history = results["objective"].new_full((len(self.history), len(order)), torch.inf)
        for step, (rows, objective) in enumerate(self.history):
            history[step].scatter_reduce_(0, rows, objective, "amin")
        return results | {"history": history.masked_fill(history == torch.inf, torch.nan)}
