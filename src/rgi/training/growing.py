"""Training of the progressive GAN (Karras et al. 2018) as in the implementation that the paper's authors used.

Generator and critic begin at 4x4 pixels. Each further scale doubles the resolution. The new resolution fades in: α, the
weight of the old resolution, falls from 1 to 0 in 600 equal steps during the first fifth of the scale.

The losses are sums over the batch, with x̂ = u x + (1-u) G(z) and u ~ U(0,1) for each image:

    critic     Σ -D(x) + D(G(z)) + 10 (|∇D(x̂)| - 1)² + 0.001 D(x)²
    generator  Σ -D(G(z))
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from rgi.errors import InputError
from rgi.generators.progressive import upsample
from rgi.training.adversarial import AdversarialTraining

PENALTY, DRIFT = 10.0, 0.001  # weights of the gradient penalty and of D(x)²
JUMPS = 600  # number of values of α in a scale
FADE = 5  # a new resolution fades in during 1 / FADE of the steps of a scale


class GrowingTraining(AdversarialTraining):
    """Training of the progressive GAN, scale by scale.

    The published schedule has 48,000 steps at 4 pixels and 96,000 steps at each further scale, in total 528,000 steps
    up to 128 pixels. Any other number of steps is divided in the same proportions. At each new scale, both Adam
    optimisers and the averaged generator begin again. A training that continues from a finished one is at the last
    scale in all its steps.

    Args:
        base_options: options of `AdversarialTraining`.

    Raises:
        InputError: the family is not the progressive one, or the steps are fewer than `half_scales`.
    """

    def __init__(self, **base_options: Any) -> None:
        super().__init__(**base_options)
        if self.architecture["family"] != "progressive":
            raise InputError(f"generator.family={self.architecture['family']}: cannot grow; use generator=progressive")
        self.scales = len(self.generator.scales) + 1
        if self.steps < self.half_scales:
            raise InputError(f"steps={self.steps}: too few for {self.scales} scales; use at least {self.half_scales}")

    @property
    def half_scales(self) -> int:
        """Number of units of the schedule: one unit for the first scale and two units for each further scale."""
        return 2 * self.scales - 1

    def scale_and_alpha(self, step: int) -> tuple[int, float]:
        """Number of the scale (0 is 4x4 pixels) and α in [0,1] at a step."""
        if self.continues:
            return self.scales - 1, 0.0
        scale = min(step * self.half_scales // self.steps + 1, self.half_scales) // 2
        if scale == 0:
            return 0, 0.0
        jumps = (step - self.first_step_of_scale(scale)) * JUMPS * FADE * self.half_scales // (2 * self.steps)
        return scale, max(0.0, 1 - jumps / JUMPS)

    def first_step_of_scale(self, scale: int) -> int:
        """Number of the first step of a scale."""
        return 0 if scale == 0 else -(-(2 * scale - 1) * self.steps // self.half_scales)

    @property
    def complete(self) -> bool:
        """Whether the last scale has faded in completely."""
        return self.scale_and_alpha(max(0, self.steps_done - 1)) == (self.scales - 1, 0.0)

    def begin_step(self, step: int) -> None:
        """At the first step of a scale, reset both Adam optimisers, and set the average to the current generator."""
        scale, _ = self.scale_and_alpha(step)
        if step == self.first_step_of_scale(scale) and not self.continues:
            for optimizer in self.optimizers(use_pl_optimizer=False):
                optimizer.state.clear()
            self.average.module.load_state_dict(self.generator.state_dict())
            self.average.n_averaged.fill_(1)

    def critic_loss(self, real: Tensor, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """The critic's loss in the module's docstring, see `AdversarialTraining.critic_loss`."""
        where = self.scale_and_alpha(step)
        real = self.resize_to_scale(real, *where)
        with torch.no_grad():
            fake = self.generator(codes, *where).to(real)
        # One pass for real and generated images, if no group of four of the minibatch statistic mixes them.
        together = len(real) % 4 == 0
        batches = [torch.cat([real, fake])] if together else [real, fake]
        for_real, for_fake = torch.cat([self._score(images, where) for images in batches]).chunk(2)
        penalty = self.penalty(real, fake, where, random)
        return self.world_size * (for_fake - for_real + DRIFT * for_real.square() + PENALTY * penalty).sum()

    def generator_loss(self, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """The generator's loss in the module's docstring, see `AdversarialTraining.generator_loss`."""
        where = self.scale_and_alpha(step)
        return -self.world_size * self._score(self.generator(codes, *where), where).sum()

    def penalty(self, real: Tensor, fake: Tensor, where: tuple[int, float], random: torch.Generator) -> Tensor:
        """Gradient penalty (|∇D(x̂)| - 1)² of each image, (B,).

        Args:
            real: training images (B,C,H,W) at the current scale.
            fake: generated images (B,C,H,W).
            where: scale and α, see `scale_and_alpha`.
            random: source of all random numbers, on the CPU.
        """
        share = torch.rand(len(real), 1, 1, 1, generator=random).to(real)
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self._score(mixed, where).sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square()

    @property
    def world_size(self) -> int:
        """Number of processes. DDP averages gradients over processes, but the losses are sums."""
        return self.trainer.world_size

    def modify_gradients(self, network: torch.nn.Module) -> None:
        """Set gradients that are not finite to 0, as in the authors' code."""
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0, 0, 0)

    def generate(self, generator: torch.nn.Module, codes: Tensor) -> Tensor:
        """Images of a generator at the current scale."""
        return generator(codes, *self.scale_and_alpha(max(0, self.steps_done - 1)))

    def _score(self, images: Tensor, where: tuple[int, float]) -> Tensor:
        """Scores (B,) in float32 or float64, also under autocast."""
        scale, alpha = where
        scores = self.critic(images, together=True, scale=scale, alpha=alpha)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    @staticmethod
    def resize_to_scale(real: Tensor, scale: int, alpha: float) -> Tensor:
        """Training images for a scale: (B,C,h,h) with h = 4·2^scale.

        Args:
            real: training images (B,C,H,W).
            scale: number of the scale.
            alpha: weight α of the images at half resolution.
        """
        side = 4 << scale
        if side != real.shape[-1]:
            real = interpolate(real, size=side, mode="bilinear", antialias=True)
        if alpha:
            real = alpha * upsample(avg_pool2d(real, 2)) + (1 - alpha) * real
        return real
