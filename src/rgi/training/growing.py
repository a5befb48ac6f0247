"""Training the progressive GAN as the paper does (Karras et al. 2018 in the implementation the authors used).

Generator and critic begin at 4x4 pixels. At every doubling the new resolution fades in: α, the weight of the old one,
falls from 1 to 0 in 600 equal jumps during the first fifth of the scale. Losses, summed over the batch, with
x̂ = u x + (1-u) G(z), u ~ U(0,1) for each image:

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

PENALTY, DRIFT = 10.0, 0.001
JUMPS = 600
FADE = 5  # one part in so many of a scale's steps


class GrowingTraining(AdversarialTraining):
    """See above.

    The published schedule is 48,000 steps at 4 pixels and 96,000 at each further scale: 528,000 up to 128. ``steps``
    shares any other number out in the same proportions. At a new scale both Adams and the averaged generator begin
    anew.

    Args:
        others: of `AdversarialTraining`.

    Raises:
        InputError: another family than the progressive one, or fewer steps than scales have parts.
    """

    def __init__(self, **others: Any) -> None:
        super().__init__(**others)
        if self.architecture["family"] != "progressive":
            raise InputError(f"generator.family={self.architecture['family']}: cannot grow; use generator=progressive")
        self.scales = len(self.generator.scales) + 1
        if self.steps < self.half_scales:
            raise InputError(f"steps={self.steps}: too few for {self.scales} scales; at least {self.half_scales}")

    @property
    def half_scales(self) -> int:
        """Half scales: the first scale has one, every other two."""
        return 2 * self.scales - 1

    def scale_and_alpha(self, step: int) -> tuple[int, float]:
        """Scale and α of a step."""
        scale = min(step * self.half_scales // self.steps + 1, self.half_scales) // 2
        if scale == 0:
            return 0, 0.0
        jumps = (step - self.first_step_of_scale(scale)) * JUMPS * FADE * self.half_scales // (2 * self.steps)
        return scale, max(0.0, 1 - jumps / JUMPS)

    def first_step_of_scale(self, scale: int) -> int:
        """The first step of a scale."""
        return 0 if scale == 0 else -(-(2 * scale - 1) * self.steps // self.half_scales)

    @property
    def complete(self) -> bool:
        """Whether the last scale has faded in."""
        return self.scale_and_alpha(max(0, self.steps_done - 1)) == (self.scales - 1, 0.0)

    def begin_step(self, step: int) -> None:
        """Begin Adam and the average anew where a scale begins; the average then starts from the generator as it is."""
        scale, _ = self.scale_and_alpha(step)
        if step == self.first_step_of_scale(scale):
            for optimizer in self.optimizers(use_pl_optimizer=False):
                optimizer.state.clear()
            self.average.module.load_state_dict(self.generator.state_dict())
            self.average.n_averaged.fill_(1)

    def critic_loss(self, real: Tensor, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """The four terms."""
        where = self.scale_and_alpha(step)
        real = self.resize_to_scale(real, *where)
        with torch.no_grad():
            fake = self.generator(codes, *where).to(real)
        # One pass for both, if the minibatch statistic's groups of four do not mix them.
        together = len(real) % 4 == 0
        batches = [torch.cat([real, fake])] if together else [real, fake]
        for_real, for_fake = torch.cat([self._score(images, where) for images in batches]).chunk(2)
        penalty = self.penalty(real, fake, where, random)
        return self.world_size * (for_fake - for_real + DRIFT * for_real.square() + PENALTY * penalty).sum()

    def generator_loss(self, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """The critic's verdict."""
        where = self.scale_and_alpha(step)
        return -self.world_size * self._score(self.generator(codes, *where), where).sum()

    def penalty(self, real: Tensor, fake: Tensor, where: tuple[int, float], random: torch.Generator) -> Tensor:
        """(|∇D(x̂)| - 1)² (B,) between real and generated images; the norm is taken in float32 or better."""
        share = torch.rand(len(real), 1, 1, 1, generator=random).to(real)
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self._score(mixed, where).sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square()

    @property
    def world_size(self) -> int:
        """Processes: DDP averages over them what the method sums."""
        return self.trainer.world_size

    def modify_gradients(self, network: torch.nn.Module) -> None:
        """Gradients that are not finite become 0, as in the reference."""
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0, 0, 0)

    def generate(self, generator: torch.nn.Module, codes: Tensor) -> Tensor:
        """Images of the scale reached."""
        return generator(codes, *self.scale_and_alpha(max(0, self.steps_done - 1)))

    def _score(self, images: Tensor, where: tuple[int, float]) -> Tensor:
        """(B,) in float32 or better, whatever autocast makes of the network."""
        scale, alpha = where
        scores = self.critic(images, together=True, scale=scale, alpha=alpha)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    @staticmethod
    def resize_to_scale(real: Tensor, scale: int, alpha: float) -> Tensor:
        """Images (B,C,H,W) as the critic sees them: of 4·2^scale pixels, while they fade in mixed with coarser ones."""
        side = 4 << scale
        if side != real.shape[-1]:
            real = interpolate(real, size=side, mode="bilinear", antialias=True)
        if alpha:
            real = alpha * upsample(avg_pool2d(real, 2)) + (1 - alpha) * real
        return real
