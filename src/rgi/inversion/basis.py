"""Coordinates in which a latent code is easy to optimise.

A generator hardly moves along most latent directions and far along a few, none of which is a coordinate axis: over the
shipped brick generator the eigenvalues of E[JᵀJ], J = ∂G/∂z, span five orders of magnitude. Adam gives every coordinate
a rate of its own, which can only help where the coordinates are those directions. Rotating z into the eigenvectors
of the mean metric does that, once per generator; the idea is SOAP's (Vyas et al. 2024), with the metric in place of a
running mean of gradients.
"""

import torch
from torch import Tensor

from rgi.generators.store import GAN
from rgi.inversion.once_per_gan import once_per_gan
from rgi.inversion.weights import SharedWeights

PROBES = 256  # one gradient each; few directions matter, and more probes change nothing measurable
PROBE_BATCH = 32


def metric_basis(gan: GAN, weights: SharedWeights, dtype: torch.dtype) -> Tensor:
    """Orthonormal eigenvectors (d,d), in columns, of E[JᵀJ] over z ~ N(0,1); computed once per GAN.

    Estimated without forming J: for noise v ~ N(0,1) in image space the gradient of v·G(z) is Jᵀv, and
    E[Jᵀv vᵀJ] = JᵀJ.
    """

    def estimate() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        metric = torch.zeros(gan.card.latent_dim, gan.card.latent_dim, dtype=torch.float64)
        for _ in range(PROBES // PROBE_BATCH):
            z = torch.randn(PROBE_BATCH, gan.card.latent_dim, generator=generator).to(gan.device, dtype)
            image = weights(z.requires_grad_())
            noise = torch.randn(image.shape, generator=generator).to(image)
            (gradient,) = torch.autograd.grad((image * noise).sum(), z)
            gradient = gradient.double().cpu()
            metric += gradient.T @ gradient
        return torch.linalg.eigh(metric).eigenvectors.to(gan.device, dtype)

    return once_per_gan(gan, "basis", (dtype, weights.dtype), estimate)
