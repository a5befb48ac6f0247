"""Optimisers of z that the study compares with the library's and that did not win: L-BFGS, Gauss-Newton, a prior on z.

Each takes a problem of the library (mask profiled out), z at the start (B,d) and a number of steps, and returns z (B,d)
and what an image cost, in forward passes of the generator (a backward pass to z counts as one).
"""

import torch
from torch import Tensor
from torch.func import jvp

from rgi.inversion.problem import Problem


def objective(problem: Problem, z: Tensor) -> Tensor:
    """The profiled objective (B,)."""
    return problem.evaluate(problem.network(z))[0]


def gradient(problem: Problem, z: Tensor, prior: float = 0.0) -> tuple[Tensor, Tensor]:
    """Objective (B,), with ``prior`` |z|²/2 added, and its gradient (B,d)."""
    z = z.detach().requires_grad_()
    value = objective(problem, z) + prior * z.square().sum(1) / 2
    (slope,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), slope


def lbfgs(problem: Problem, z: Tensor, steps: int, memory: int = 10) -> tuple[Tensor, float]:
    """L-BFGS with a line search for every image: the step is halved until the objective falls (Armijo)."""
    value, slope = gradient(problem, z)
    pairs: list[tuple[Tensor, Tensor]] = []
    cost = 2.0
    for _ in range(steps):
        direction = -_two_loops(slope, pairs)
        length = torch.ones(len(z), 1)
        if not pairs:
            length = 1 / slope.norm(dim=1, keepdim=True)
        descent = (direction * slope).sum(1)
        for _ in range(8):
            with torch.no_grad():
                fell = objective(problem, z + length * direction) <= value + 1e-4 * length[:, 0] * descent
            cost += 1
            if fell.all():
                break
            length = torch.where(fell[:, None], length, length / 2)
        moved = z + torch.where(fell[:, None], length, 0) * direction
        value, after = gradient(problem, moved)
        cost += 2
        pairs = [*pairs[1 - memory :], (moved - z, after - slope)]
        z, slope = moved, after
    return z, cost


def _two_loops(slope: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The inverse Hessian's estimate times the slope; a pair without curvature is passed over."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(1, keepdim=True)

    known = [(s, y, torch.where(dot(s, y) > 1e-10, 1 / dot(s, y), 0)) for s, y in pairs]
    result, factors = slope, []
    for s, y, rho in reversed(known):
        factors.append(rho * dot(s, result))
        result = result - factors[-1] * y
    if known:
        s, y, rho = known[-1]
        result = torch.where(rho > 0, dot(s, y) / dot(y, y).clamp(min=1e-20), 1) * result
    for (s, y, rho), factor in zip(known, reversed(factors), strict=True):
        result = result + s * (factor - rho * dot(y, result))
    return result


def gauss_newton(problem: Problem, z: Tensor, steps: int) -> tuple[Tensor, float]:
    """Levenberg-Marquardt on the residuals that the mask leaves, with the full Jacobian (d forward derivatives)."""
    count, size = z.shape
    damping = torch.ones(count)
    value = objective(problem, z).detach()
    for _ in range(steps):
        columns = [jvp(problem.network, (z,), (row.expand_as(z),))[1].flatten(1) for row in torch.eye(size)]
        jacobian = torch.stack(columns, 2).detach()
        with torch.no_grad():
            image = problem.network(z)
            weight = (1 - problem.evaluate(image)[1].flatten(1)).square()
            residual = (problem.observed - image).flatten(1)
            normal = torch.einsum("bnd,bn,bne->bde", jacobian, weight, jacobian)
            right = torch.einsum("bnd,bn->bd", jacobian, weight * residual)
            ridge = damping[:, None, None] * torch.eye(size)
            proposed = z + torch.linalg.solve(normal + ridge, right)
            after = objective(problem, proposed)
            better = after < value
            z, value = torch.where(better[:, None], proposed, z), torch.where(better, after, value)
            damping = torch.where(better, damping / 3, damping * 4)
    return z, steps * (2.0 * size + 2)


def adam_with_prior(problem: Problem, z: Tensor, steps: int, basis: Tensor, prior: float) -> tuple[Tensor, float]:
    """Our Adam in the metric's basis, on the objective plus ``prior`` |z|²/2: -log N(z; 0, 1) up to the scale."""
    config = problem.config
    code = torch.zeros_like(z)
    optimizer = torch.optim.Adam([code], betas=config.betas)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = config.lr_latent * config.rate(step)
        _, slope = gradient(problem, z + code @ basis.T, prior)
        code.grad = slope @ basis
        optimizer.step()
    return z + code @ basis.T, 2.0 * steps
