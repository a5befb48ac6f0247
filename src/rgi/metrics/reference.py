"""The `reference` protocol: the authors' published evaluation, image by image, for comparison with their numbers.

It differs from the field's habits: each image is stretched to [0,1] on its own before PSNR; SSIM uses the
constants of range 1 on images of range 2, and a zero border; Dice takes the best threshold of each image. Images of
any size, one or three channels; nothing is clamped; all results float64 (B,). The authors aggregate PSNR
and SSIM by the median over images, AUROC and Dice by the mean.
"""

import torch
from torch import Tensor

from rgi.errors import InputError
from rgi.metrics.checks import check_images, check_not_nan
from rgi.metrics.curves import auroc as auroc_of_levels
from rgi.metrics.curves import levels
from rgi.metrics.similarity import similarity

LUMA = (0.2989, 0.5870, 0.1140)


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """10 log10(1 / mse) in dB after stretching each of the two images to [0,1] by its own extremes.

    The mean is over the image's own number of scalars; the authors' code divides by 3*128*128 at any size.

    Args:
        restored, clean: (B,C,H,W), any range.

    Raises:
        InputError: shapes that differ, channels other than one or three.
    """
    restored, clean = _images(restored, clean)
    return -10 * (_stretch(restored) - _stretch(clean)).square().mean((1, 2, 3)).log10()


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity with an 11-pixel Gaussian window of sigma 1.5, zeros outside the image, data range 1.

    Args:
        restored, clean: (B,C,H,W), any range.

    Raises:
        InputError: shapes that differ, channels other than one or three.
    """
    x, y = _images(restored, clean)
    return similarity(x, y, data_range=1.0).mean((1, 2, 3))


def auroc(mask: Tensor, true_mask: Tensor) -> Tensor:
    """Pixel AUROC of each image; NaN where its truth is empty or full.

    The score is the weighted absolute mask; the truth is stretched to [0,1] and rounded.

    Args:
        mask: (B,C,H,W) as optimised, any range.
        true_mask: (B,H,W) in [0,1], gray edges allowed.

    Raises:
        InputError: shapes that do not fit, channels other than one or three, NaN, a truth outside [0,1].
    """
    score, truth = _score_and_truth(mask, true_mask)
    images = [auroc_of_levels(*levels(*pair)[1:]) for pair in zip(score, truth.round(), strict=True)]
    return torch.stack(images) if images else score.new_empty(0)


def dice(mask: Tensor, true_mask: Tensor) -> Tensor:
    """Largest Dice of each image over the thresholds 0, 0.01, ..., 1, applied to score and truth alike.

    An oracle: the threshold is chosen per image with the truth at hand. 0 where the truth is constant.

    Args:
        mask: (B,C,H,W) as optimised, any range.
        true_mask: (B,H,W) in [0,1], gray edges allowed.

    Raises:
        InputError: shapes that do not fit, channels other than one or three, NaN, a truth outside [0,1].
    """
    score, truth = _score_and_truth(mask, true_mask)
    thresholds = torch.arange(101, dtype=score.dtype, device=score.device) / 100
    score_level, truth_level = torch.bucketize(score, thresholds), torch.bucketize(truth, thresholds)
    predicted, true = _above(score_level, len(thresholds)), _above(truth_level, len(thresholds))
    overlap = _above(score_level.minimum(truth_level), len(thresholds))
    return (2 * overlap / (predicted + true + 1e-6)).amax(1)


def _images(restored: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    check_images(restored, clean)
    _check_channels("restored", restored)
    return restored.double(), clean.double()


def _score_and_truth(mask: Tensor, true_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Both (B,H,W) float64, each image stretched to [0,1] by its own extremes."""
    if mask.ndim != 4 or true_mask.shape != (len(mask), *mask.shape[2:]):
        raise InputError(f"mask {tuple(mask.shape)} and true_mask {tuple(true_mask.shape)}: pass (B,C,H,W) and (B,H,W)")
    _check_channels("mask", mask)
    check_not_nan("mask", mask)
    if not ((true_mask >= 0) & (true_mask <= 1)).all():
        raise InputError("true_mask: holds values outside [0,1]; divide 8-bit labels by 255")
    weights = LUMA if mask.shape[1] == 3 else (1.0,)
    score = torch.einsum("bchw,c->bhw", mask.double().abs(), mask.new_tensor(weights, dtype=torch.float64))
    return _stretch(score), _stretch(true_mask.double())


def _above(level: Tensor, thresholds: int) -> Tensor:
    """Pixels above each threshold (B,thresholds), from how many thresholds each pixel (B,H,W) is above."""
    image = torch.arange(len(level), device=level.device)[:, None, None]
    cells = (level + image * (thresholds + 1)).flatten()
    counts = cells.bincount(minlength=len(level) * (thresholds + 1)).view(len(level), -1)
    return counts.flip(1).cumsum(1).flip(1)[:, 1:].double()


def _check_channels(name: str, images: Tensor) -> None:
    if images.shape[1] not in (1, 3):
        raise InputError(f"{name} {tuple(images.shape)}: has {images.shape[1]} channels; pass one or three")


def _stretch(images: Tensor) -> Tensor:
    """(v - min) / (max - min + 1e-10), the extremes taken per image."""
    dims = tuple(range(1, images.ndim))
    low, high = images.amin(dims, keepdim=True), images.amax(dims, keepdim=True)
    return (images - low) / (high - low + 1e-10)
