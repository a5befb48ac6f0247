"""FID and KID by torchmetrics, with features of the user's network."""

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
    """FID and KID by torchmetrics, for a network of the user's.

    Features are taken as they are, as FID and KID are defined: unlike `kernel_distance`, both depend on the network's
    scale. They compare with published numbers only if the network is the Inception that those used, its resizing of
    images to 299 pixels included; with another one, name it beside the number. torchmetrics brings Inception itself
    only with torch-fidelity, which is not needed here: features are computed by us, and torchmetrics is handed them.

    Args:
        real, fake: (N,C,H,W) and (M,C,H,W) in [-1,1]. FID wants many more images than features.
        features: in evaluation mode, takes [-1,1], as all networks here do; wrap one that wants [0,1].
        seed: of KID's subsets.
        subsets, subset_size: KID is the mean over so many random subsets of so many images, or fewer if there are not.

    Returns:
        fid and kid (0 is best; kid may lie below).

    Raises:
        InputError: shapes that differ, fewer than two images, NaN or infinities.
    """
    check_sets(real=real, fake=fake)
    sets = embed(real, features), embed(fake, features)
    check_features(*sets, 2)
    smallest = min(subset_size, len(real), len(fake))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save all extracted features")
        kid = KernelInceptionDistance(_PrecomputedFeatures(sets[0]), subsets=subsets, subset_size=smallest)
    fid = FrechetInceptionDistance(_PrecomputedFeatures(sets[0]), normalize=True).to(real.device)
    for embedded, is_real in zip(sets, (True, False), strict=True):
        fid.update(embedded.double(), real=is_real)
        kid.update(embedded.double(), real=is_real)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws the subsets from the CPU's global random numbers
        torch.default_generator.manual_seed(seed)
        return {"fid": fid.compute().item(), "kid": kid.compute()[0].item()}


class _PrecomputedFeatures(nn.Module):
    """Stands in for torchmetrics' network where features (N,F) are there already."""

    def __init__(self, embedded: Tensor) -> None:
        super().__init__()
        self.num_features = embedded.shape[1]

    def forward(self, embedded: Tensor) -> Tensor:
        return embedded
