"""The `standard` protocol: metrics with the definitions that are common in the field.

Images have the data range [-1,1]. Image metrics are means over images. Pixel metrics rank all pixels of the test set
together and use one threshold for the whole test set.

AUROC is computed here because torchmetrics applies a sigmoid to each batch that has a score outside [0,1]. The scores
of different batches would then have different scales.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.utilities import dim_zero_cat

from rgi.errors import InputError
from rgi.metrics import bins, curves
from rgi.metrics.checks import check_binary, check_images, check_map, check_mask, check_non_negative, check_not_nan
from rgi.metrics.regions import region_weights
from rgi.metrics.similarity import WINDOW, similarity

DATA_RANGE = (-1.0, 1.0)
SSIM_BORDER = WINDOW // 2  # pixels; the window of a pixel nearer to the border would reach beyond the image


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, 10 log10(4 / MSE): (B,) float64.

    Images are clamped to [-1,1]. The result is infinite for equal images and NaN for images with NaN.

    Args:
        restored: restored images (B,C,H,W).
        clean: clean images (B,C,H,W).

    Raises:
        InputError: the shapes differ, or are not (B,C,H,W).
    """
    check_images(restored, clean)
    return peak_signal_noise_ratio(
        restored.double(), clean.double(), data_range=DATA_RANGE, reduction="none", dim=(1, 2, 3)
    )


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004): (B,) float64, at most 1.

    The window is a Gaussian of 11 pixels and sigma 1.5. The data range is 2, and images are clamped to [-1,1]. The
    result is the mean over channels and over all pixels whose window lies inside the image. The result is NaN for
    images with NaN.

    Args:
        restored: restored images (B,C,H,W), H and W at least 11.
        clean: clean images (B,C,H,W).

    Raises:
        InputError: the shapes differ, are not (B,C,H,W), or have H or W below 11.
    """
    check_images(restored, clean)
    if min(restored.shape[2:]) <= 2 * SSIM_BORDER:
        raise InputError(f"restored {tuple(restored.shape)}: SSIM needs at least {2 * SSIM_BORDER + 1} pixels per side")
    low, high = DATA_RANGE
    images = (image.double().clamp(low, high) for image in (restored, clean))
    inside = slice(SSIM_BORDER, -SSIM_BORDER)
    return similarity(*images, data_range=high - low)[:, :, inside, inside].mean((1, 2, 3))


def psnr_hole(restored: Tensor, clean: Tensor, mask: Tensor) -> Tensor:
    """`psnr` of the pixels in the hole: (B,) float64, NaN for images without a hole.

    Args:
        restored: restored images (B,C,H,W).
        clean: clean images (B,C,H,W).
        mask: true mask (B,1,H,W) in {0,1}, 1 = hole.

    Raises:
        InputError: the shapes do not fit, or the mask has values other than 0 and 1.
    """
    check_images(restored, clean)
    check_mask("mask", mask, clean)
    hole = (mask != 0).expand_as(clean)
    squares = (restored.double().clamp(*DATA_RANGE) - clean.double().clamp(*DATA_RANGE)).square()
    error = torch.where(hole, squares, 0).sum((1, 2, 3)) / hole.sum((1, 2, 3))
    return 10 * ((DATA_RANGE[1] - DATA_RANGE[0]) ** 2 / error).log10()


def psnr_composited(restored: Tensor, clean: Tensor, mask: Tensor, observed: Tensor) -> Tensor:
    """`psnr` of the composite of observed pixels outside the hole and restored pixels inside: (B,) float64.

    The result is NaN for images without a hole.

    Args:
        restored: restored images (B,C,H,W).
        clean: clean images (B,C,H,W).
        mask: true mask (B,1,H,W) in {0,1}, 1 = hole.
        observed: observed images (B,C,H,W).

    Raises:
        InputError: the shapes do not fit, or the mask has values other than 0 and 1.
    """
    return psnr(*_composited(restored, clean, mask, observed)).masked_fill(_without_hole(mask), torch.nan)


def ssim_composited(restored: Tensor, clean: Tensor, mask: Tensor, observed: Tensor) -> Tensor:
    """`ssim` of the composite of observed pixels outside the hole and restored pixels inside: (B,) float64.

    The result is NaN for images without a hole.

    Args:
        restored: restored images (B,C,H,W), H and W at least 11.
        clean: clean images (B,C,H,W).
        mask: true mask (B,1,H,W) in {0,1}, 1 = hole.
        observed: observed images (B,C,H,W).

    Raises:
        InputError: the shapes do not fit, H or W is below 11, or the mask has values other than 0 and 1.
    """
    return ssim(*_composited(restored, clean, mask, observed)).masked_fill(_without_hole(mask), torch.nan)


def mask_iou(estimated_mask: Tensor, mask: Tensor, threshold: float = 0.5) -> Tensor:
    """Intersection over union of the estimated and the true mask of each image: (B,) float64.

    A pixel belongs to the estimated mask if the mean over channels of the absolute mask is above the threshold. The
    result is NaN for images with an empty true mask. ``best_iou`` of `PixelCurve` uses the best threshold of the test
    set instead.

    Args:
        estimated_mask: optimised mask (B,C,H,W).
        mask: true mask (B,1,H,W) in {0,1}.
        threshold: lowest mean mask value, exclusive, of a pixel in the estimated mask.

    Raises:
        InputError: the shapes do not fit, the estimated mask has NaN, or the true mask has values other than 0 and 1.
    """
    check_mask("mask", mask, estimated_mask)
    check_not_nan("estimated_mask", estimated_mask)
    predicted, true = estimated_mask.abs().mean(1, keepdim=True) > threshold, mask != 0
    overlap = (predicted & true).sum((1, 2, 3)).double() / (predicted | true).sum((1, 2, 3))
    return overlap.masked_fill(_without_hole(mask), torch.nan)


def _composited(restored: Tensor, clean: Tensor, mask: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    check_images(restored, clean)
    check_images(observed, clean)
    check_mask("mask", mask, clean)
    return torch.where(mask != 0, restored, observed), clean


def _without_hole(mask: Tensor) -> Tensor:
    return mask.amax((1, 2, 3)) == 0


class ImageAUROC(Metric):
    """Exact AUROC of one score per image over the test set; NaN if one of the two classes is missing."""

    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the states. A process without images sends an empty tensor of this type to the other processes."""
        return torch.float64

    def update(self, score: Tensor, label: Tensor) -> None:
        """Add a batch.

        Args:
            score: image scores (B,); a higher score means more anomalous.
            label: true labels (B,) in {0,1}, 1 = image with a defect.

        Raises:
            InputError: the shapes do not fit, a score is NaN, or a label is neither 0 nor 1.
        """
        if score.ndim != 1 or label.shape != score.shape:
            raise InputError(f"score {tuple(score.shape)} and label {tuple(label.shape)}: pass (B,) and (B,)")
        check_not_nan("score", score)
        check_binary("label", label)
        self.scores.append(score.double())
        self.labels.append(label.double())

    def compute(self) -> Tensor:
        """The AUROC, a float64 scalar."""
        if isinstance(self.scores, list) and not self.scores:
            return torch.tensor(float("nan"), dtype=torch.float64, device=self.device)
        _, positives, negatives = curves.levels(dim_zero_cat(self.scores), dim_zero_cat(self.labels))
        return curves.auroc(positives, negatives)


class PixelCurve(Metric):
    """Metrics of all pixels of a test set together, in constant memory (200 MB).

    The metric counts scores in the bins of `rgi.metrics.bins`. Therefore results do not depend on the order or the size
    of batches, and the counts of several processes can be added. AUPRO may differ by rounding, because its state is a
    sum of fractions.

    The metric also stores the lowest and the highest score of each bin. A bin with one distinct score causes no error.
    The results ``*_error`` bound the error that all other bins cause.
    """

    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("defect", bins.default_state(0, torch.int64), dist_reduce_fx="sum")
        self.add_state("normal", bins.default_state(0, torch.int64), dist_reduce_fx="sum")
        self.add_state("overlap", bins.default_state(0, torch.float64), dist_reduce_fx="sum")
        self.add_state("lowest", bins.default_state(torch.inf, torch.float32), dist_reduce_fx="min")
        self.add_state("highest", bins.default_state(0, torch.float32), dist_reduce_fx="max")
        self.reset()

    def update(self, anomaly_map: Tensor, mask: Tensor, counted: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            anomaly_map: pixel scores (B,H,W) >= 0, converted to float32; a higher score means more anomalous.
            mask: true mask (B,1,H,W) in {0,1}, 1 = defect.
            counted: pixels that count (B,1,H,W) in {0,1}; a region of a defect ends with them. None for all.

        Raises:
            InputError: the shapes do not fit, a score is negative or NaN, or the mask has values other than 0 and 1.
        """
        check_map(anomaly_map, mask)
        check_non_negative("anomaly_map", anomaly_map)
        score, defect = anomaly_map.flatten().float(), mask.flatten() != 0
        overlap = region_weights(mask if counted is None else mask * counted).flatten()
        if counted is not None:
            inside = counted.flatten() != 0
            score, defect, overlap = score[inside], defect[inside], overlap[inside]
        index = bins.bin_index(score)
        self.defect.scatter_add_(0, index, defect.long())
        self.normal.scatter_add_(0, index, (~defect).long())
        self.overlap.scatter_add_(0, index[defect], overlap[defect])
        self.lowest.scatter_reduce_(0, index, score, "amin")
        self.highest.scatter_reduce_(0, index, score, "amax")

    def compute(self) -> dict[str, Tensor]:
        """All pixel metrics as float64 scalars; NaN if the test set has no defect pixels or no normal pixels.

        Returns:
            pixel_auroc: area under the ROC curve.
            aupro: area under the per-region overlap up to a false-positive rate of 0.3, divided by 0.3
                (`curves.aupro`).
            pixel_ap: average precision.
            best_f1: highest F1 score (= Dice) over all thresholds; never above the value without bins.
            best_f1_threshold: threshold of the highest F1 score; pixels with float32 score >= threshold are positive.
            best_iou: intersection over union at the same threshold. IoU increases with F1, so it is the highest, too.
            pixel_auroc_error, aupro_error, pixel_ap_error, best_f1_error: bounds on the error caused by the bins.
        """
        index = (self.defect + self.normal).nonzero().squeeze(1)
        defect, normal = self.defect[index], self.normal[index]
        lowest, highest = self.lowest[index], self.highest[index]
        single_valued = lowest == highest
        f1, threshold = curves.best_f1(lowest, defect, normal)
        aupro, aupro_error = curves.aupro(self.overlap[index], normal, single_valued)
        return {
            "pixel_auroc": curves.auroc(defect, normal),
            "pixel_auroc_error": curves.auroc_error(defect, normal, single_valued),
            "aupro": aupro,
            "aupro_error": aupro_error,
            "pixel_ap": curves.average_precision(defect, normal),
            "pixel_ap_error": curves.average_precision_error(defect, normal, single_valued),
            "best_f1": f1,
            "best_f1_error": curves.best_f1_error(defect, normal, single_valued),
            "best_f1_threshold": threshold,
            "best_iou": f1 / (2 - f1),
        }
