"""Optimisers of z that the study compares with the solver: L-BFGS and Gauss-Newton.

An optimiser takes a problem with a profiled mask, z at the start (B,d) and a number of steps. It returns the final z
(B,d) and the cost per image in generator passes. A backward pass to z counts as one pass.
"""

import torch
from torch import Tensor
from torch.func import jvp

from rgi.inversion.problem import Problem


def objective(problem: Problem, z: Tensor) -> Tensor:
    """Objective (B,) with profiled mask at z (B,d)."""
    return problem.evaluate(problem.network(z), z)[0]


def gradient(problem: Problem, z: Tensor) -> tuple[Tensor, Tensor]:
    """Objective (B,) at z (B,d), and its gradient (B,d)."""
    z = z.detach().requires_grad_()
    value = objective(problem, z)
    (slope,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), slope


def lbfgs(problem: Problem, z: Tensor, steps: int, memory: int = 10) -> tuple[Tensor, float]:
    """L-BFGS with a line search per image. The step is halved until the Armijo condition holds, in at most 8 trials.

    Args:
        problem: objective of the images.
        z: start (B,d).
        steps: number of iterations.
        memory: number of stored pairs of steps and gradient differences.
    """
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
                decreased = objective(problem, z + length * direction) <= value + 1e-4 * length[:, 0] * descent
            cost += 1
            if decreased.all():
                break
            length = torch.where(decreased[:, None], length, length / 2)
        moved = z + torch.where(decreased[:, None], length, 0) * direction
        value, after = gradient(problem, moved)
        cost += 2
        pairs = [*pairs[1 - memory :], (moved - z, after - slope)]
        z, slope = moved, after
    return z, cost


def _two_loops(slope: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Estimate of the inverse Hessian times the gradient (two-loop recursion). Pairs without curvature are skipped."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(1, keepdim=True)

    curved = [(s, y, torch.where(dot(s, y) > 1e-10, 1 / dot(s, y), 0)) for s, y in pairs]
    result, factors = slope, []
    for s, y, rho in reversed(curved):
        factors.append(rho * dot(s, result))
        result = result - factors[-1] * y
    if curved:
        s, y, rho = curved[-1]
        result = torch.where(rho > 0, dot(s, y) / dot(y, y).clamp(min=1e-20), 1) * result
    for (s, y, rho), factor in zip(curved, reversed(factors), strict=True):
        result = result + s * (factor - rho * dot(y, result))
    return result


def gauss_newton(problem: Problem, z: Tensor, steps: int) -> tuple[Tensor, float]:
    """Levenberg-Marquardt on the weighted residuals outside the mask, with the full Jacobian.

    Args:
        problem: objective of the images.
        z: start (B,d). The Jacobian needs d forward-mode derivatives.
        steps: number of iterations.
    """
    count, size = z.shape
    damping = torch.ones(count)
    value = objective(problem, z).detach()
    for _ in range(steps):
        columns = [jvp(problem.network, (z,), (row.expand_as(z),))[1].flatten(1) for row in torch.eye(size)]
        jacobian = torch.stack(columns, 2).detach()
        with torch.no_grad():
            image = problem.network(z)
            weight = (1 - problem.evaluate(image, z)[1].flatten(1)).square()
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
