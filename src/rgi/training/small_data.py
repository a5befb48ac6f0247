"""GAN training on few images, with augmentation and a gradient penalty against overfitting of the critic.

T is a random, differentiable augmentation of real and generated images (Zhao et al. 2020). The loss is the
non-saturating loss of Goodfellow et al. (2014) with the lazy R1 penalty (Mescheder et al. 2018, Karras et al. 2020):

    critic     mean softplus(-D(T(x))) + mean softplus(D(T(G(z)))) + every 16th step  16 γ/2 mean |∇D(T(x))|²
    generator  mean softplus(-D(T(G(z))))

The critic receives only augmented images, so the generator does not learn to imitate the augmentation.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad, softplus

from rgi.training.adversarial import AdversarialTraining
from rgi.validation import Allowed, NotNegative, Number, checked

R1_INTERVAL = 16  # steps between two R1 penalties
Strength = Annotated[Number, Field(ge=0, le=1), Allowed("a number from 0 to 1")]


class SmallDataTraining(AdversarialTraining):
    """Training with the non-saturating loss, augmentation and the lazy R1 penalty.

    Args:
        r1: weight γ of the R1 penalty, at least 0.
        augment: strength of the augmentation T, from 0 (none) to 1, see `augmented`.
        base_options: options of `AdversarialTraining`.

    Raises:
        InputError: an option is out of range.
    """

    @checked("generator.training")
    def __init__(self, *, r1: NotNegative, augment: Strength, **base_options: Any) -> None:
        super().__init__(**base_options)
        self.r1, self.augment = r1, augment

    def critic_loss(self, real: Tensor, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """The critic's loss in the module's docstring, see `AdversarialTraining.critic_loss`."""
        with torch.no_grad():
            fake = self.generator(codes)
        loss = softplus(-self._score(real, random)).mean() + softplus(self._score(fake, random)).mean()
        if self.r1 and step % R1_INTERVAL == 0:
            loss = loss + R1_INTERVAL * self.r1 / 2 * self.penalty(real, random)
        return loss

    def generator_loss(self, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """The generator's loss in the module's docstring, see `AdversarialTraining.generator_loss`."""
        return softplus(-self._score(self.generator(codes), random)).mean()

    def penalty(self, real: Tensor, random: torch.Generator) -> Tensor:
        """Mean of |∇D(T(x))|² over images x (B,C,H,W), in float32 or float64: a bfloat16 norm is too inexact."""
        with torch.autocast(real.device.type, enabled=False):
            real = real.to(torch.promote_types(real.dtype, torch.float32))
            images = self._augmented(real, random).requires_grad_()
            (gradient,) = torch.autograd.grad(self.critic(images, together=True).sum(), images, create_graph=True)
            return gradient.square().sum((1, 2, 3)).mean()

    def _score(self, images: Tensor, random: torch.Generator) -> Tensor:
        return self.critic(self._augmented(images, random), together=True)

    def _augmented(self, images: Tensor, random: torch.Generator) -> Tensor:
        return augmented(images, self.augment, random) if self.augment else images


def augmented(images: Tensor, strength: float, random: torch.Generator) -> Tensor:
    """Augment images: random brightness, contrast, saturation and shift, and a random square set to 0.

    Args:
        images: images (B,C,H,W), H = W.
        strength: strength in [0,1]. 1 has the ranges of Zhao et al. (2020): brightness ±0.5, contrast 0.5 to 1.5,
            saturation 0 to 2, shift up to 1/8 of the side, and a square of half the side. A smaller strength makes all
            ranges smaller.
        random: source of all random numbers, on the CPU.
    """
    count, _, side, _ = images.shape
    brightness, contrast, saturation = strength * (torch.rand(3, count, 1, 1, 1, generator=random).to(images) * 2 - 1)
    images = images + brightness / 2
    grey = images.mean(1, keepdim=True)
    images = grey + (1 + saturation) * (images - grey)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (1 + contrast / 2) * (images - mean)
    reach = round(strength * side / 8)
    offsets = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=random)
    rows, columns = (offsets + torch.arange(side)).to(images.device)
    batch = torch.arange(count, device=images.device)[:, None, None]
    shifted = pad(images, [reach] * 4).permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    hole = round(strength * side / 2)
    corners = torch.randint(-(hole // 2), side - hole // 2 + 1, (2, count, 1), generator=random)
    tall, wide = ((torch.arange(side) >= corners) & (torch.arange(side) < corners + hole)).to(images.device)
    cut = tall[:, None, :, None] & wide[:, None, None, :]
    return shifted.permute(0, 3, 1, 2).masked_fill(cut, 0)
