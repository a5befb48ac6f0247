"""The procedure as it was published, one image at a time: what `speed.py` measures ours against.

Joint Adam steps on z, the mask M and, for R-RGI, a copy of the generator's weights θ, for

    L = Σ ((1-M) (x - G_θ(z)))² + λ Σ |M| - w D(G_θ(z)),

from the nearest of a pool of latent codes and M = 0; all three Adams advance from the first step on, θ at rate 0 until
`Published.tune_from`. Written from a description of the authors' code, without ours: its first steps equal the
authors' (tests/test_experiments.py).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam


@dataclass(frozen=True)
class Published:
    """The constants of the anomaly runs.

    Attributes:
        penalty: λ.
        critic_weight: w.
        run_critic: whether D is run at all: the published code does so at weight 0 too, and computes gradients for
            D's weights that nobody uses.
        tune_from: first step in which θ moves.
    """

    penalty: float
    tune_generator: bool = False
    critic_weight: float = 0.0
    run_critic: bool = True
    iterations: int = 2000
    tune_from: int = 500
    lr_latent: float = 0.1
    lr_mask: float = 0.1
    lr_generator: float = 1e-5


@torch.no_grad()
def nearest(generator: nn.Module, image: Tensor, pool: Tensor) -> Tensor:
    """The member (1,d) of a pool (N,d) whose image is nearest to ``image`` (1,C,H,W); of equals the last."""
    best, least = pool[:1], float("inf")
    for code in pool.split(1):
        distance = (generator(code) - image).norm().item()
        if distance <= least:
            best, least = code, distance
    return best


def invert_one(
    generator: nn.Module,
    critic: nn.Module,
    image: Tensor,
    start: Tensor,
    method: Published,
    on_step: Callable[[], object] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Explain one image (1,C,H,W) from the latent code ``start`` (1,d); returns G_θ(z) and M, both (1,C,H,W)."""
    latent, mask = start.clone().requires_grad_(), torch.zeros_like(image).requires_grad_()
    if method.tune_generator:
        generator = copy.deepcopy(generator).requires_grad_()
    critic = copy.deepcopy(critic).requires_grad_()
    optimizers = [Adam([latent], method.lr_latent), Adam([mask], method.lr_mask)]
    if method.tune_generator:
        optimizers.append(Adam(generator.parameters(), 0.0))
    for step in range(method.iterations):
        restored = generator(latent)
        loss = ((1 - mask) * (image - restored)).square().sum() + method.penalty * mask.abs().sum()
        if method.run_critic:
            loss = loss - method.critic_weight * critic(restored).sum()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        if method.tune_generator and step == method.tune_from:
            optimizers[-1].param_groups[0]["lr"] = method.lr_generator
        for optimizer in optimizers:
            optimizer.step()
        on_step()
    with torch.no_grad():
        return generator(latent), mask.detach()
