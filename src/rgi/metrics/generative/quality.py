"""How good a generator is, judged from two sets of images alone: nothing is downloaded, no network was trained.

Real and generated images are (N,C,H,W) in [-1,1]. Two views of them need no trained network: patches at every scale
(`sliced_wasserstein`), and a fixed random network's features (`RandomFeatures`), which say how much of what is
generated looks real (precision), how much of what is real is generated (recall), and how far apart the two
distributions are (`kernel_distance`). `memorisation` asks whether the generator copies its training images.

All of them depend on how many images there are: compare only numbers from equally many. The sets lie on one device;
random numbers come from the CPU, so that every device sees the same ones.
"""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.image.fid import FrechetInceptionDistance  # torchmetrics.image has it only beside torch-fidelity
from torchmetrics.image.kid import KernelInceptionDistance

from rgi.errors import InputError

LOWEST = 16  # pixels: the coarsest level of the pyramid, and the smallest image a random network takes
PATCH = 7  # pixels: the side of a descriptor
FLAT = 1e-5  # a spread of pixels below this is float32's rounding, which nobody should stretch to 1
CHUNK = 1024  # rows of a matrix of distances held at a time
WIDTHS = (16, 32, 64, 128)  # doubled where the area is quartered: each depth costs the same
SLOPE = 0.2

Features = Callable[[Tensor], Tensor]
"""Any network in evaluation mode: images (N,C,H,W) in [-1,1] to features (N,F)."""


def judge(
    real: Tensor,
    fake: Tensor,
    features: Features | None = None,
    seed: int = 0,
    descriptors: int = 32,
    projections: int = 128,
    k: int = 3,
) -> dict[str, float]:
    """All that can be said cheaply enough to be said during a training.

    Args:
        real, fake: (N,C,S,S) and (M,C,S,S) in [-1,1], S a power of two from 16 on; M should equal N.
        features: by default ``RandomFeatures`` of this seed, whose channels must be one or three.
        seed: of the random network, of the patches' places and of the projections.
        descriptors, projections: as in `sliced_wasserstein`, a sixteenth of the paper's work.
        k: as in `precision_recall`.

    Returns:
        swd_<S>, ..., swd_32, swd_16 and their mean swd (0 is best); precision and recall in [0,1] (1 is best);
        kernel_distance (around 0 is best).

    Raises:
        InputError: what the functions below refuse.
    """
    swd = sliced_wasserstein(real, fake, seed, descriptors, projections)
    if features is None:
        features = RandomFeatures(real.shape[1], seed).to(real.device)
    embedded = embed(real, features), embed(fake, features)
    precision, recall = precision_recall(*embedded, k)
    return {
        **{f"swd_{resolution}": distance for resolution, distance in swd.items()},
        "swd": sum(swd.values()) / len(swd),
        "precision": precision,
        "recall": recall,
        "kernel_distance": kernel_distance(*embedded),
    }


def sliced_wasserstein(
    real: Tensor, fake: Tensor, seed: int = 0, descriptors: int = 128, projections: int = 512
) -> dict[int, float]:
    """Sliced Wasserstein distance between the patches of two sets of images, at each level of a Laplacian pyramid.

    Karras et al., *Progressive growing of GANs*, ICLR 2018, section 5. Coarse levels compare large structures, fine
    levels edges, texture and noise. Each channel of each set's patches is brought to mean 0 and deviation 1 first, so
    that brightness and contrast as such go unseen. Both sets are looked at in the same places, so that equal sets
    have distance 0. Two samples of one distribution do not: a floor remains that sinks as images and patches are added.

    Args:
        real, fake: (N,C,S,S) in [-1,1], S = 16, 32, 64, ...; of the larger set only the first images are taken.
        seed: of the patches' places and of the projections.
        descriptors: 7x7 patches per image and level.
        projections: random directions, over which the distance is averaged.

    Returns:
        Resolution of the level, finest first, to its distance times 1000, as the paper's tables have it.

    Raises:
        InputError: shapes that differ, another S, NaN or infinities.
    """
    _check_sets(real=real, fake=fake)
    _check_pyramid(real)
    count = min(len(real), len(fake))
    pyramids = [laplacian_pyramid(images[:count].float()) for images in (real, fake)]
    random = torch.Generator().manual_seed(seed)
    distances = {}
    for levels in zip(*pyramids, strict=True):
        side = levels[0].shape[-1]
        places = torch.randint(side - PATCH + 1, (2, count, descriptors), generator=random).to(real.device)
        directions = torch.randn(projections, real.shape[1] * PATCH**2, generator=random).to(real.device)
        distances[side] = 1000 * sliced_distance(*(_patches(level, places) for level in levels), directions)
    return distances


def sliced_distance(a: Tensor, b: Tensor, directions: Tensor) -> float:
    """Mean over directions of the Wasserstein-1 distance between two equally large sets, projected to a line.

    Args:
        a, b: (N,D) points.
        directions: (P,D), of any length but zero.
    """
    total = 0.0
    for part in functional.normalize(directions).split(128):  # all projections at once would fill the memory
        quantiles_a, quantiles_b = ((part @ points.T).sort().values for points in (a, b))
        total += (quantiles_a - quantiles_b).abs().mean(1).sum().item()
    return total / len(directions)


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """What each halving loses, from the full resolution to 32 pixels, and last the image at 16 pixels.

    Args:
        images: (N,C,S,S) float, S = 16, 32, 64, ...

    Returns:
        (N,C,S,S), ..., (N,C,16,16). ``level + expand(coarser image)`` leads back up.
    """
    levels = []
    while images.shape[-1] > LOWEST:
        coarse = reduce(images)
        levels.append(images - expand(coarse))
        images = coarse
    return [*levels, images]


def reduce(images: Tensor) -> Tensor:
    """Half the resolution: 5x5 binomial filter, mirrored at the border, every second pixel. (N,C,S,S)."""
    rows = _binomial(images.shape[-1], images)[::2]
    return rows @ images @ rows.T


def expand(images: Tensor) -> Tensor:
    """Twice the resolution: zeros between the pixels, filled in by the same filter. (N,C,S,S)."""
    columns = 2 * _binomial(2 * images.shape[-1], images)[:, ::2]  # per axis, one pixel carries the mean of two
    return columns @ images @ columns.T


class RandomFeatures(nn.Module):
    """A convolutional network that nobody trained, but that is the same for everybody.

    Spatial means and deviations after each of four stages of 3x3 convolutions, with halvings between them. Random
    embeddings are known to suffice for telling distributions of images apart, and to be fairer where the images have
    little in common with ImageNet (Naeem et al., *Reliable fidelity and diversity metrics for generative models*, ICML
    2020). Where in the image something is goes mostly unseen.

    Args:
        channels: one or three.
        seed: of the He-normal weights; drawn on the CPU, so that machines differ by rounding only.

    Raises:
        InputError: another number of channels.
    """

    num_features = 2 * sum(WIDTHS)

    def __init__(self, channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise InputError(f"channels={channels}: a random network is for images with one or three")
        random = torch.Generator().manual_seed(seed)
        self.stages = nn.ModuleList()
        for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
            # An ordinary constructor would draw weights from the global random numbers.
            stage = nn.utils.skip_init(nn.Conv2d, before, after, 3, padding=1)
            nn.init.kaiming_normal_(stage.weight, SLOPE, generator=random)
            nn.init.normal_(stage.bias, std=0.1, generator=random)
            self.stages.append(stage)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(N,C,H,W) in [-1,1] of at least 16 pixels to features (N,480).

        Raises:
            InputError: other channels, smaller images.
        """
        channels = self.stages[0].in_channels
        if images.ndim != 4 or images.shape[1] != channels or min(images.shape[2:]) < LOWEST:
            raise InputError(f"images {tuple(images.shape)}: pass (N,{channels},H,W) of at least {LOWEST} pixels")
        x, statistics = images.float(), []
        for depth, stage in enumerate(self.stages):
            x = functional.leaky_relu(stage(functional.avg_pool2d(x, 2) if depth else x), SLOPE)
            mean = x.mean((2, 3), keepdim=True)
            # Tensor.std takes as long as all the rest.
            statistics += [mean.flatten(1), (x - mean).square().mean((2, 3)).sqrt()]
        return torch.cat(statistics, 1)


def embed(images: Tensor, features: Features, batch: int = 16) -> Tensor:
    """Features (N,F) float32 of images (N,C,H,W), computed batch by batch and without gradients.

    Raises:
        InputError: a network that gives something else.
    """
    with torch.no_grad():
        embedded = torch.cat([features(part) for part in images.split(batch)]).float()
    if embedded.shape[:1] != images.shape[:1] or embedded.ndim != 2:
        raise InputError(
            f"features {tuple(embedded.shape)}: the network must map (N,C,H,W) to (N,F); flatten its output"
        )
    return embedded


def precision_recall(real_features: Tensor, fake_features: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fakes that look real, and share of reals that look generated.

    Kynkäänniemi et al., *Improved precision and recall metric for assessing generative models*, NeurIPS 2019: a set
    covers the balls around its members that reach to their k-th nearest neighbour within the set; precision is the
    share of fakes that the reals cover, recall the share of reals that the fakes cover. Every feature counts in units
    of its deviation among the reals. Two samples of one distribution reach about 0.7 to 0.9, not 1.

    Args:
        real_features: (N,F), N > k.
        fake_features: (M,F), M > k.
        k: larger is more lenient.

    Raises:
        InputError: shapes that do not fit, too few rows, NaN or infinities.
    """
    _check_features(real_features, fake_features, k + 1)
    real, fake = _standardised(real_features, fake_features)
    return _covered(fake, real, k), _covered(real, fake, k)


def kernel_distance(real_features: Tensor, fake_features: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y/F + 1)³, unbiased, of standardised features.

    The kernel inception distance of Bińkowski et al., *Demystifying MMD GANs*, ICLR 2018, but of all rows at once
    instead of subsets, and every feature in units of its deviation among the reals, from their mean. Around 0, on
    either side of it, where both sets are samples of one distribution; below 0 for equal sets, since no row is compared
    with itself within a set. Unbiased but for the standardisation, which is estimated from the same reals.

    Args:
        real_features: (N,F), N > 1.
        fake_features: (M,F), M > 1.

    Raises:
        InputError: shapes that do not fit, too few rows, NaN or infinities.
    """
    _check_features(real_features, fake_features, 2)
    real, fake = _standardised(real_features, fake_features)
    n, m = len(real), len(fake)
    within = _kernel_sum(real, real, pairs=True) / (n * (n - 1)) + _kernel_sum(fake, fake, pairs=True) / (m * (m - 1))
    return within - 2 * _kernel_sum(real, fake) / (n * m)


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
    _check_sets(real=real, fake=fake)
    sets = embed(real, features), embed(fake, features)
    _check_features(*sets, 2)
    smallest = min(subset_size, len(real), len(fake))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save all extracted features")
        kid = KernelInceptionDistance(_Ready(sets[0]), subsets=subsets, subset_size=smallest)
    fid = FrechetInceptionDistance(_Ready(sets[0]), normalize=True).to(real.device)
    for embedded, is_real in zip(sets, (True, False), strict=True):
        fid.update(embedded.double(), real=is_real)
        kid.update(embedded.double(), real=is_real)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws the subsets from the CPU's global random numbers
        torch.default_generator.manual_seed(seed)
        return {"fid": fid.compute().item(), "kid": kid.compute()[0].item()}


def nearest_training(images: Tensor, training: Tensor, chunk: int = CHUNK) -> Tensor:
    """Root-mean-square difference of each image to the training image nearest to it: (N,) float32, in [0,2].

    Of training images that differ by 1e-4 or less, any may count as the nearest.

    Args:
        images: (N,C,H,W) in [-1,1].
        training: (M,C,H,W) in [-1,1], on any device: it is moved chunk by chunk.
        chunk: training images per matrix product.

    Raises:
        InputError: shapes that differ, NaN or infinities.
    """
    _check_sets(images=images, training=training)
    centre = training[:chunk].to(images.device).float().mean(0)  # short vectors lose less to rounding
    points = (images.float() - centre).flatten(1)
    best = points.new_full((len(points),), math.inf)
    for part in training.split(chunk):
        others = (part.to(images.device).float() - centre).flatten(1)
        # Without |x|², the same for all. It cancels where images are nearly equal, so it only tells which is nearest.
        nearest = (others.square().sum(1) - 2 * points @ others.T).argmin(1)
        best = best.minimum((points - others[nearest]).square().mean(1).sqrt())
    return best


def memorisation(samples: Tensor, held_out: Tensor, training: Tensor) -> dict[str, float]:
    """Do samples lie closer to the training images than other real images do?

    The measure is `nearest_training`. Five in a hundred held-out images lie closer to a training image than the 5 %
    quantile of their distances; if more of the samples do, the generator copies, or paints what is near to everything:
    blurred images are nearer to any image than sharp ones are, so look at the samples in question. Both are compared
    with the same training images, hence any number of them does; there should be 100 held-out images or more.

    Args:
        samples: (N,C,H,W) in [-1,1], drawn from the generator.
        held_out: (M,C,H,W) in [-1,1], real images of the same kind that the generator has never seen.
        training: (K,C,H,W) in [-1,1], what it was trained on.

    Returns:
        sample_distance, held_out_distance: medians, in units of the images.
        copies: share of samples strictly closer than the 5 % quantile of the held-out images. Near 0.05: none.

    Raises:
        InputError: shapes that differ, NaN or infinities.
    """
    _check_sets(samples=samples, held_out=held_out, training=training)
    ours, theirs = nearest_training(samples, training), nearest_training(held_out, training)
    return {
        "sample_distance": ours.quantile(0.5).item(),
        "held_out_distance": theirs.quantile(0.5).item(),
        "copies": (ours < theirs.quantile(0.05)).float().mean().item(),
    }


class _Ready(nn.Module):
    """Stands in for torchmetrics' network where features (N,F) are there already."""

    def __init__(self, embedded: Tensor) -> None:
        super().__init__()
        self.num_features = embedded.shape[1]

    def forward(self, embedded: Tensor) -> Tensor:
        return embedded


def _binomial(size: int, like: Tensor) -> Tensor:
    """The filter of one axis as a matrix (size,size): a product is several times faster than a convolution."""
    line = like.new_tensor([1, 4, 6, 4, 1]) / 16
    mirrored = functional.pad(torch.eye(size, dtype=like.dtype, device=like.device)[None], (2, 2), mode="reflect")
    return (mirrored[0].unfold(1, 5, 1) @ line).T


def _patches(level: Tensor, places: Tensor) -> Tensor:
    """Patches at places (2,N,P) of images (N,C,S,S), each channel with mean 0 and deviation 1: (NP,49C)."""
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # a view: only the chosen ones are ever copied
    image = torch.arange(len(level), device=level.device)[:, None]
    patches = windows[image, :, places[0], places[1]].flatten(0, 1)
    deviation, mean = torch.std_mean(patches, (0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / deviation.clamp(min=FLAT)).flatten(1)


def _standardised(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both in units of the reals' deviation from the reals' mean; a feature that is constant there keeps its units."""
    deviation, mean = torch.std_mean(real.float(), 0, correction=0)
    deviation = deviation.where(deviation > 1e-6 * mean.abs(), 1)
    return (real.float() - mean) / deviation, (fake.float() - mean) / deviation


def _covered(points: Tensor, cover: Tensor, k: int) -> float:
    """Share of points (N,F) that lie within the k-th neighbour's distance of some member of the cover (M,F)."""
    # A member's nearest is itself, at a distance of exactly 0 as long as no product is used.
    radius = torch.cat([_distances(part, cover).kthvalue(k + 1).values for part in cover.split(CHUNK)])
    inside = [(_distances(part, cover) <= radius).any(1) for part in points.split(CHUNK)]
    return torch.cat(inside).double().mean().item()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _kernel_sum(a: Tensor, b: Tensor, pairs: bool = False) -> float:
    """Sum of the kernel over all rows of a and of b; with pairs (a is b), over all pairs of two different rows."""
    size = a.shape[1]
    total = sum((part @ b.T / size + 1).pow(3).sum(dtype=torch.float64).item() for part in a.split(CHUNK))
    own = (a.square().sum(1) / size + 1).pow(3).sum(dtype=torch.float64).item() if pairs else 0.0
    return total - own


def _check_sets(**sets: Tensor) -> None:
    (first, example), *_ = sets.items()
    for name, images in sets.items():
        if images.ndim != 4 or images.shape[1:] != example.shape[1:] or not len(images):
            shapes = f"{first} {tuple(example.shape)} and {name} {tuple(images.shape)}"
            raise InputError(f"{shapes}: pass sets (N,C,H,W) of images of the same shape, one or more of each")
        if not images.isfinite().all():
            raise InputError(f"{name}: holds NaN or infinities; find out where the generator failed")


def _check_pyramid(images: Tensor) -> None:
    height, width = images.shape[2:]
    if height != width or height < LOWEST or height & (height - 1):
        raise InputError(
            f"images of {height} x {width} pixels: a pyramid down to {LOWEST} pixels needs squares of"
            f" {LOWEST}, {2 * LOWEST}, {4 * LOWEST}, ... pixels; resize them"
        )


def _check_features(real: Tensor, fake: Tensor, smallest: int) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < smallest:
        raise InputError(
            f"real_features {tuple(real.shape)} and fake_features {tuple(fake.shape)}:"
            f" pass (N,F) and (M,F) of at least {smallest} rows"
        )
    for name, features in (("real_features", real), ("fake_features", fake)):
        if not features.isfinite().all():
            raise InputError(f"{name}: holds NaN or infinities; find out where the generator failed")
