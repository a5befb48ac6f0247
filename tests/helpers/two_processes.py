"""Data for tests of metrics, and a process that evaluates a part of it; each process imports this module again."""

import torch

from rgi.metrics import bins
from rgi.metrics.protocols import Scores
from rgi.metrics.thresholds import CleanThreshold


def use_few_octaves(set_constant=setattr, coarse_bits=bins.COARSE_BITS):
    """Fine bins for scores of 2^-12 to 16 alone: metrics of a third of the size, for tests that make many."""
    octaves = range(-12, 4)
    below = (bins.EXPONENT_BIAS + octaves.start) << coarse_bits
    fine = len(octaves) << bins.FINE_BITS
    above = ((bins.EXPONENTS - bins.EXPONENT_BIAS - octaves.stop) << coarse_bits) + 1
    constants = {"FINE_OCTAVES": octaves, "COARSE_BITS": coarse_bits, "BELOW": below, "FINE": fine, "ABOVE": above}
    for name, value in constants.items():
        set_constant(bins, name, value)
    set_constant(bins, "BINS", 1 + below + fine + above)


def residual_maps(shift=0.15, images=60, side=64, noise=0.1, seed=0):
    """Absolute residuals (B,H,W) with mean 0 at normal pixels and mean ``shift`` at defects, and the masks."""
    random = torch.Generator().manual_seed(seed)
    mask = (torch.rand(images, 1, side, side, generator=random) < 0.05).float()
    mask[: images // 3] = 0
    residual = noise * torch.randn(images, side, side, generator=random) + shift * mask[:, 0]
    return residual.abs(), mask


def images(channels=3, height=24, width=31, count=4):
    """Restored and clean images with some values outside [-1,1]."""
    random = torch.Generator().manual_seed(4)
    clean = 0.6 * torch.randn(count, channels, height, width, generator=random)
    return clean + 0.3 * torch.randn(clean.shape, generator=random), clean


def blobs(count=9, height=24, width=31, seed=5):
    """Masks (B,1,H,W) with a few regions each; the first mask is empty, the second is full."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, height // 4, width // 4, generator=random)
    mask = (torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") > 0.7).float()
    mask[0], mask[1] = 0, 1
    return mask


def whole_set(count=9):
    """All arguments of `Scores.update`."""
    restored, clean = images(count=count)
    true_mask = blobs(count)
    random = torch.Generator().manual_seed(6)
    estimated_mask = (true_mask + 0.4 * torch.randn(clean.shape, generator=random)).clamp(0, 1)
    observed = torch.where(true_mask.bool(), torch.randn(clean.shape, generator=random), clean)
    return {
        "anomaly_map": estimated_mask.mean(1),
        "restored": restored,
        "observed": observed,
        "estimated_mask": estimated_mask,
        "true_mask": true_mask,
        "clean": clean,
    }


def scores_of(parts, threshold=0.4):
    """Scores and clean threshold of batches of images, given as lists of positions."""
    scores, clean = Scores(threshold), CleanThreshold(0.1)
    for part in parts:
        batch = {name: tensor[part] for name, tensor in whole_set().items()}
        scores.update(**batch)
        clean.update(batch["anomaly_map"])
    return scores.compute() | {"threshold": clean.compute()}


def work(rank, folder, shares):
    """One of two processes: compute the scores of its share of the test set for each case, and save them."""
    torch.set_num_threads(1)
    use_few_octaves()
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for case, share in enumerate(shares):
        torch.save(scores_of([share[rank]] if share[rank] else []), folder / f"{case}-{rank}.pt")
    torch.distributed.destroy_process_group()
