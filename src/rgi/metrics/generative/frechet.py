"""FID and KID by torchmetrics, with features of any network."""

import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance  # torchmetrics.image has it only beside torch-fidelity
from torchmetrics.image.kid import KernelInceptionDistance

from rgi.metrics.generative.checks import check_features, check_sets
from rgi.metrics.generative.embedding import Features, embed


def frechet_and_kernel(
    real: Tensor, fake: Tensor, features: Features, seed: int = 0, subsets: int = 100, subset_size: int = 1000
) -> dict[str, float]:
    """Fréchet inception distance (Heusel et al. 2017) and kernel inception distance (Bińkowski et al. 2018).

    The features are not standardised, so both distances depend on the scale of the features; `kernel_distance` does
    not. The results are comparable with published results only for the same Inception network and the same resizing to
    299 pixels. Report the name of the network with the result.

    torchmetrics needs the package torch-fidelity for its own Inception network. This function computes the features
    first and passes them to torchmetrics, so torch-fidelity is not necessary.

    Args:
        real: real images (N,C,H,W) in [-1,1]. For FID, N and M must be much larger than the number of features.
        fake: generated images (M,C,H,W) in [-1,1].
        features: network in evaluation mode, for images in [-1,1]; wrap a network for images in [0,1].
        seed: seed of the random subsets of KID.
        subsets: number of random subsets; KID is the mean over the subsets.
        subset_size: number of images per subset; at most N and M are used.

    Returns:
        fid: 0 is best.
        kid: 0 is best; negative values are possible.

    Raises:
        InputError: the shapes differ, a set has fewer than two images, or a value is NaN or infinite.
    """
    check_sets(real=real, fake=fake)
    sets = embed(real, features), embed(fake, features)
    check_features(*sets, 2)
    size = min(subset_size, len(real), len(fake))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save all extracted features")
        kid = KernelInceptionDistance(
            _PrecomputedFeatures(sets[0]), subsets=subsets, subset_size=size, sync_on_compute=False
        )
    for embedded, is_real in zip(sets, (True, False), strict=True):
        kid.update(embedded.double(), real=is_real)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws the subsets with the global generator
        torch.default_generator.manual_seed(seed)
        return {"fid": frechet_distance(*sets), "kid": kid.compute()[0].item()}


def frechet_distance(real_features: Tensor, fake_features: Tensor) -> float:
    """Fréchet distance between Gaussians that are fitted to two sets of features (Heusel et al. 2017); 0 is best.

    Args:
        real_features: features of real images (N,F), not standardised.
        fake_features: features of generated images (M,F).

    Raises:
        InputError: the shapes do not fit, a set has fewer than two rows, or a value is NaN or infinite.
    """
    check_features(real_features, fake_features, 2)
    fid = FrechetInceptionDistance(_PrecomputedFeatures(real_features), normalize=True, sync_on_compute=False).to(
        real_features.device
    )
    fid.update(real_features.double(), real=True)
    fid.update(fake_features.double(), real=False)
    return fid.compute().item()


class _PrecomputedFeatures(nn.Module):
    """Network for torchmetrics that returns its input, features (N,F), unchanged."""

    def __init__(self, embedded: Tensor) -> None:
        super().__init__()
        self.num_features = embedded.shape[1]

    def forward(self, embedded: Tensor) -> Tensor:
        return embedded
