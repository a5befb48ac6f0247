"""Checks of the inputs of metrics, and their device."""

import torch
from torch import Tensor

from rgi.errors import InputError


def metric_device(device: torch.device) -> torch.device:
    """The device to compute metrics on, for images on a device: Apple's GPU (mps) has no float64, so it is the CPU."""
    return torch.device("cpu") if device.type == "mps" else device


def check_images(restored: Tensor, clean: Tensor) -> None:
    """Check that two batches of images have the same shape (B,C,H,W).

    Raises:
        InputError: the shapes differ, or are not (B,C,H,W).
    """
    if restored.ndim != 4 or restored.shape != clean.shape:
        raise InputError(
            f"restored {tuple(restored.shape)} and clean {tuple(clean.shape)}: pass (B,C,H,W) of the same shape"
        )


def check_map(anomaly_map: Tensor, mask: Tensor) -> None:
    """Check an anomaly map (B,H,W) without NaN and a mask (B,1,H,W) of zeros and ones.

    Raises:
        InputError: the shapes do not fit, the map has NaN, or the mask has values other than 0 and 1.
    """
    if anomaly_map.ndim != 3 or mask.shape != (len(anomaly_map), 1, *anomaly_map.shape[1:]):
        raise InputError(
            f"anomaly_map {tuple(anomaly_map.shape)} and mask {tuple(mask.shape)}: pass (B,H,W) and (B,1,H,W)"
        )
    check_not_nan("anomaly_map", anomaly_map)
    check_binary("mask", mask)


def check_mask(name: str, mask: Tensor, images: Tensor) -> None:
    """Check that a mask (B,1,H,W) of zeros and ones fits the images (B,C,H,W).

    Raises:
        InputError: the shapes do not fit, or the mask has values other than 0 and 1.
    """
    if images.ndim != 4 or mask.shape != (len(images), 1, *images.shape[2:]):
        raise InputError(
            f"{name} {tuple(mask.shape)} and images {tuple(images.shape)}: pass (B,1,H,W) and (B,C,H,W) of equal size"
        )
    check_binary(name, mask)


def check_non_negative(name: str, scores: Tensor) -> None:
    """Check scores for the bins of `rgi.metrics.bins`, which need scores >= 0.

    Raises:
        InputError: a score is NaN or negative.
    """
    check_not_nan(name, scores)
    if (scores < 0).any():
        raise InputError(f"{name}: holds negative scores; pass absolute values, or add a constant to all scores")


def check_not_nan(name: str, score: Tensor) -> None:
    """Check that no score is NaN, because NaN cannot be ranked.

    Raises:
        InputError: a score is NaN.
    """
    if score.isnan().any():
        raise InputError(f"{name}: holds NaN, which cannot be ranked; check the output of the method")


def check_binary(name: str, truth: Tensor) -> None:
    """Check that all true labels are 0 or 1.

    Raises:
        InputError: a label is neither 0 nor 1.
    """
    if ((truth != 0) & (truth != 1)).any():
        raise InputError(f"{name}: holds values other than 0 and 1; threshold it first")
