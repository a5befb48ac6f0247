"""Robust PCA: a robust projection of corrupted images to the subspace of the clean images.

The method is a robust inversion with a linear generator. `rgi.baselines.pca` computes the subspace from clean images,
so the separation of clean images into low-rank and sparse parts (Candès et al., "Robust principal component analysis?",
JACM 2011) is not necessary. The projection of a corrupted image x minimises

    min over c, S   ½ |x - m - U c - S|² + λ |S|₁

with a sparse part S (Wright et al., "Robust face recognition via sparse representation", 2009; see also Leonardis and
Bischof, "Robust recognition using eigenimages", 2000). The minimum over S is Huber's M-estimator of c with threshold λ
(She and Owen, "Outlier detection using nonconvex penalized regression", 2011).
"""

import torch
from torch import Tensor

from rgi.baselines.pca import PCA
from rgi.validation import Count, Positive, Seed, checked


class RobustPCA(PCA):
    """Restoration m + U c with the robust coefficients c; the pixel scores are |x - m - U c|.

    Args:
        components: number of components, see `rgi.baselines.pca.PCA`.
        penalty: λ, above 0; pixels with a larger residual count as corrupted. A smaller λ reduces the effect of
            corrupted pixels on c, and slows the convergence.
        iterations: highest number of iterations.
        tolerance: change of the restoration in one iteration, as root mean square, below which an image is finished.
        seed: seed of scikit-learn's solver, see `rgi.baselines.pca.PCA`.

    Raises:
        InputError: an option is out of range.
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
    """Minimise ½ |t - c U - S|² + λ |S|₁ for each row t, alternately over S and c, beginning with S = 0.

    Args:
        target: rows t, (B,D).
        basis: orthonormal rows U, (K,D); rows of zeros have no effect.
        penalty: λ, above 0.
        iterations: highest number of iterations.
        tolerance: change of c U in one iteration, as root mean square over D, below which a row is finished.

    Returns:
        The coefficients c (B,K), and the objective (T,B) before each iteration. The objective never rises. Finished
        rows have the objective NaN.
    """
    coefficients = target @ basis.T
    history = []
    active = torch.arange(len(target), device=target.device)
    for _ in range(iterations):
        error = target[active] - coefficients[active] @ basis
        small = error.clamp(-penalty, penalty)  # error - S with the best S
        objective = target.new_full((len(target),), torch.nan)
        objective[active] = (small.square() / 2 + penalty * (error - small).abs()).sum(1)
        history.append(objective)
        # The best c for this S is (t - S) Uᵀ, with t - S = c U + small and U Uᵀ = 1.
        step = small @ basis.T
        coefficients[active] += step
        active = active[step.square().sum(1) > tolerance**2 * target.shape[1]]
        if not len(active):
            break
    return coefficients, torch.stack(history)
