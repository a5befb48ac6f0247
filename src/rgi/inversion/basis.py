"""A basis of the latent space in which Adam needs fewer steps: the eigenvectors of the generator's mean metric.

The image changes much along a few latent directions and little along all others. For the shipped GAN of bricks, the
eigenvalues of the mean metric E[JᵀJ], J = ∂G/∂z, range from 0.2 to 780. The eigenvectors are not parallel to the
coordinate axes. Adam adapts the step size of each coordinate, so the coordinates should be the eigenvectors. The
basis is computed once per generator. The idea is from SOAP (Vyas et al. 2024), which uses a running mean of gradients
instead of the metric.
"""

import torch
from torch import Tensor

from rgi.generators.store import GAN
from rgi.inversion.once_per_gan import once_per_gan
from rgi.inversion.weights import SharedWeights

PROBES = 256  # number of gradients in the estimate; more gradients did not change the results measurably
PROBE_BATCH = 32


def metric_basis(gan: GAN, weights: SharedWeights, dtype: torch.dtype) -> Tensor:
    """Orthonormal eigenvectors of the mean metric E[JᵀJ], J = ∂G/∂z, over z ~ N(0,1); computed once per GAN.

    The estimate does not need the matrix J. For noise v ~ N(0,1) with the shape of an image, the gradient of v·G(z) is
    Jᵀv, and E[Jᵀv vᵀJ] = JᵀJ.

    Args:
        gan: GAN that the basis is stored for.
        weights: generator of the GAN in the precision of the networks.
        dtype: type of z and of the result.

    Returns:
        Matrix (d,d) with eigenvectors in columns, in ascending order of the eigenvalues.
    """

    def estimate() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        metric = torch.zeros(gan.card.latent_dim, gan.card.latent_dim, dtype=torch.float64)
        for _ in range(PROBES // PROBE_BATCH):
            z = torch.randn(PROBE_BATCH, gan.card.latent_dim, generator=generator, dtype=torch.float32)
            z = z.to(gan.device, dtype)
            image = weights(z.requires_grad_())
            noise = torch.randn(image.shape, generator=generator, dtype=torch.float32).to(image)
            (gradient,) = torch.autograd.grad((image * noise).sum(), z)
            gradient = gradient.cpu().double()  # in this order: mps has no float64
            metric += gradient.T @ gradient
        return torch.linalg.eigh(metric).eigenvectors.to(gan.device, dtype)

    return once_per_gan(gan, "basis", (dtype, weights.dtype), estimate)
