"""Principal components that look through gross corruption: a robust inversion, with a linear generator.

The clean images give the subspace, as in `rgi.baselines.pca`; taking low-rank and sparse parts apart (Candès et al.,
"Robust principal component analysis?", JACM 2011) would find nothing to take away from them. What has to be robust is
how a new, corrupted image x is placed in the subspace, after Leonardis and Bischof, "Robust recognition using
eigenimages" (2000), with the explicit sparse part S of Wright et al., "Robust face recognition via sparse
representation" (2009):

    min over c, S   ½ |x - m - U c - S|² + λ |S|₁

Eliminating S leaves Huber's M-estimator of c with threshold λ (She and Owen, "Outlier detection using nonconvex
penalized regression", 2011).
"""

import torch
from torch import Tensor

from rgi.baselines.pca import PCA
from rgi.validation import Count, Positive, Seed, checked


class RobustPCA(PCA):
    """Restores m + U c at the robust c; the map is the whole residual |x - m - U c|, which ranks pixels below λ, too.

    Args:
        components, seed: of the subspace, see `rgi.baselines.pca.PCA`.
        penalty: λ, the residual from which on a pixel is corrupted. What is corrupted still pulls c with force λ: the
            smaller it is, the closer to exact is a gross corruption's removal, and the slower the convergence.
        iterations: at most so many.
        tolerance: an image has settled when a step changes its restoration by less, as the root mean square.

    Raises:
        InputError: an option out of range.
    """

    @checked("baseline")
    def __init__(
        self,
        components: Count = 32,
        penalty: Positive = 0.1,
        iterations: Count = 1000,
        tolerance: Positive = 1e-5,
        seed: Seed = 0,
    ) -> None:
        super().__init__(components, seed)
        self.penalty, self.iterations, self.tolerance = penalty, iterations, tolerance

    def _restore(self, observed: Tensor) -> Tensor:
        target = observed.flatten(1) - self.mean
        coefficients, _ = robust_coefficients(target, self.basis, self.penalty, self.iterations, self.tolerance)
        return (self.mean + coefficients @ self.basis).view_as(observed)


def robust_coefficients(
    target: Tensor, basis: Tensor, penalty: float, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Minimise ½ |t - c U - S|² + λ |S|₁ for each row t, by turns over S and c, from the projection S = 0.

    Args:
        target: t, (B,D).
        basis: U, (K,D) orthonormal rows; a row of zeros is ignored.
        penalty: λ > 0.
        iterations: at most so many.
        tolerance: a row leaves when a step changes c U by less, as the root mean square over D.

    Returns:
        c (B,K), and the objective (T,B) before each step, which never rises; NaN once a row has left.
    """
    coefficients = target @ basis.T
    history = []
    active = torch.arange(len(target), device=target.device)
    for _ in range(iterations):
        error = target[active] - coefficients[active] @ basis
        small = error.clamp(-penalty, penalty)  # = error - S at the best S
        objective = target.new_full((len(target),), torch.nan)
        objective[active] = (small.square() / 2 + penalty * (error - small).abs()).sum(1)
        history.append(objective)
        # (t - S) Uᵀ, the best c for this S: t - S = c U + small, and U Uᵀ = 1.
        step = small @ basis.T
        coefficients[active] += step
        active = active[step.square().sum(1) > tolerance**2 * target.shape[1]]
        if not len(active):
            break
    return coefficients, torch.stack(history)
