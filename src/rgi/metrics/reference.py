"""The `reference` protocol: the published evaluation of the paper's authors, for comparison with the paper's numbers.

The protocol differs from common practice in three points. PSNR stretches each image to [0,1] by its own extremes. SSIM
uses the constants of data range 1 for images of data range 2, and zeros outside the image. Dice uses the best threshold
of each image.

Images have any size and one or three channels, and are not clamped. Results are float64 (B,). The authors report the
median of PSNR and SSIM over the images, and the mean of AUROC and Dice.
"""

import torch
from torch import Tensor

from rgi.errors import InputError
from rgi.metrics.checks import check_images, check_not_nan
from rgi.metrics.curves import auroc as auroc_of_levels
from rgi.metrics.curves import levels
from rgi.metrics.similarity import similarity

LUMA = (0.2989, 0.5870, 0.1140)  # weights of red, green and blue (ITU-R BT.601)


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / MSE), after each image is stretched to [0,1] by its own extremes.

    The mean squared error is divided by the number of scalars in the image. The authors' code divides by 3*128*128 for
    images of any size.

    Args:
        restored: restored images (B,C,H,W) of any range.
        clean: clean images (B,C,H,W) of any range.

    Raises:
        InputError: the shapes differ, or the number of channels is not one or three.
    """
    restored, clean = _images(restored, clean)
    return -10 * (_stretch(restored) - _stretch(clean)).square().mean((1, 2, 3)).log10()


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): 11-pixel Gaussian window, sigma 1.5, data range 1, zero border.

    Args:
        restored: restored images (B,C,H,W) of any range.
        clean: clean images (B,C,H,W) of any range.

    Raises:
        InputError: the shapes differ, or the number of channels is not one or three.
    """
    x, y = _images(restored, clean)
    return similarity(x, y, data_range=1.0).mean((1, 2, 3))


def auroc(mask: Tensor, true_mask: Tensor) -> Tensor:
    """Pixel AUROC of each image; NaN for a constant true mask.

    The score of a pixel is the luminance of the absolute mask. The true mask is stretched to [0,1] and rounded.

    Args:
        mask: optimised mask (B,C,H,W) of any range.
        true_mask: true mask (B,H,W) in [0,1]; values between 0 and 1 are allowed.

    Raises:
        InputError: the shapes do not fit, the number of channels is not one or three, the mask has NaN, or the true
            mask has values outside [0,1].
    """
    score, truth = _score_and_truth(mask, true_mask)
    images = [auroc_of_levels(*levels(*pair)[1:]) for pair in zip(score, truth.round(), strict=True)]
    return torch.stack(images) if images else score.new_empty(0)


def dice(mask: Tensor, true_mask: Tensor) -> Tensor:
    """Highest Dice coefficient of each image over the thresholds 0, 0.01, ..., 1; 0 for a constant true mask.

    Each threshold applies to the stretched score and to the stretched true mask. Dice is an oracle score, because the
    true mask selects the threshold of each image.

    Args:
        mask: optimised mask (B,C,H,W) of any range.
        true_mask: true mask (B,H,W) in [0,1]; values between 0 and 1 are allowed.

    Raises:
        InputError: the shapes do not fit, the number of channels is not one or three, the mask has NaN, or the true
            mask has values outside [0,1].
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
    """Scores and true masks (B,H,W) float64, each image stretched to [0,1] by its own extremes."""
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
    """Number of pixels above each threshold.

    Args:
        level: for each pixel (B,H,W), the number of thresholds that its value exceeds.
        thresholds: number of thresholds.

    Returns:
        Counts (B,thresholds) float64.
    """
    image = torch.arange(len(level), device=level.device)[:, None, None]
    cells = (level + image * (thresholds + 1)).flatten()
    counts = cells.bincount(minlength=len(level) * (thresholds + 1)).view(len(level), -1)
    return counts.flip(1).cumsum(1).flip(1)[:, 1:].double()


def _check_channels(name: str, images: Tensor) -> None:
    if images.shape[1] not in (1, 3):
        raise InputError(f"{name} {tuple(images.shape)}: has {images.shape[1]} channels; pass one or three")


def _stretch(images: Tensor) -> Tensor:
    """(v - min) / (max - min + 1e-10) with the minimum and maximum of each image."""
    dims = tuple(range(1, images.ndim))
    low, high = images.amin(dims, keepdim=True), images.amax(dims, keepdim=True)
    return (images - low) / (high - low + 1e-10)
