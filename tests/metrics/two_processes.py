"""Test data, and a process that sees a share of it; imports little, since each spawned process imports it anew."""

import torch

from rgi.metrics import standard


def residual_maps(shift=0.15, images=60, side=64, noise=0.1, seed=0):
    """Residuals of clean pixels around zero, of defects shifted."""
    random = torch.Generator().manual_seed(seed)
    mask = (torch.rand(images, 1, side, side, generator=random) < 0.05).float()
    mask[: images // 3] = 0
    residual = noise * torch.randn(images, side, side, generator=random) + shift * mask[:, 0]
    return residual.abs(), mask


def images(channels=3, height=24, width=31, count=4):
    """Pairs whose values leave [-1,1]."""
    random = torch.Generator().manual_seed(4)
    clean = 0.6 * torch.randn(count, channels, height, width, generator=random)
    return clean + 0.3 * torch.randn(clean.shape, generator=random), clean


def fill(metrics, part):
    """Update all metrics with these images of one fixed test set."""
    anomaly_map, mask = residual_maps(images=9, side=16)
    metrics["pixels"].update(anomaly_map[part], mask[part])
    metrics["image"].update(anomaly_map.double().amax((1, 2))[part], mask.amax((1, 2, 3))[part])
    for name in ("psnr", "ssim"):
        metrics[name].update(*(x[part] for x in images(count=9)))


def all_metrics():
    return {
        "pixels": standard.PixelCurve(),
        "image": standard.ImageAUROC(),
        "psnr": standard.PSNR(),
        "ssim": standard.SSIM(),
    }


def work(rank, folder, shares):
    """One of two processes: for each case, update with its share of the test set, sync, save the results."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for case, share in enumerate(shares):
        metrics = {name: metric.to("cpu") for name, metric in all_metrics().items()}
        if share[rank]:
            fill(metrics, share[rank])
        torch.save({name: metric.compute() for name, metric in metrics.items()}, folder / f"{case}-{rank}.pt")
    torch.distributed.destroy_process_group()
