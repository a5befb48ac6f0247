"""The published procedure, which inverts one image at a time. `speed.py` compares our solver with this procedure.

Three Adam optimisers move z, the mask M and, for R-RGI, a copy of the generator's weights θ together. They minimise

    L = Σ ((1-M) (x - G_θ(z)))² + λ Σ |M| - w D(G_θ(z)).

The start is the nearest code of a pool, and M = 0. All optimisers run from the first step on, but θ has learning rate 0
until `Published.tune_from`. The code was written from a description of the authors' code and uses no part of the
package. Its first steps equal those of the authors' code (tests/test_experiments.py).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam


@dataclass(frozen=True)
class Published:
    """Constants of the published procedure. The defaults are those for anomaly detection.

    Attributes:
        penalty: λ.
        tune_generator: whether θ is tuned (R-RGI).
        critic_weight: w.
        run_critic: whether D is evaluated. The published code evaluates D also for w = 0, and computes unused gradients
            of D's weights.
        iterations: number of steps.
        tune_from: first step that tunes θ.
        lr_latent: learning rate of z.
        lr_mask: learning rate of M.
        lr_generator: learning rate of θ.
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
    """Find the code (1,d) with the nearest image.

    Args:
        generator: generator.
        image: observed image (1,C,H,W).
        pool: latent codes (N,d). Of equally near codes, the last code is the result.
    """
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
    """Invert one image.

    Args:
        generator: generator, which stays unchanged.
        critic: critic, which stays unchanged.
        image: observed image (1,C,H,W).
        start: latent code at step 0, (1,d).
        method: constants.
        on_step: function that is called after each step.

    Returns:
        G_θ(z) and M, both (1,C,H,W).
    """
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
