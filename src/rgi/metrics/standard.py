"""The `standard` protocol: one true data range, means over images, one ranking and one threshold for the test set.

Curves are our own: torchmetrics' AUROC passes the scores of a batch through a sigmoid as soon as one of them
leaves [0,1], so that batches are ranked on different scales.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.utilities import dim_zero_cat

from rgi.errors import InputError
from rgi.metrics import bins, curves
from rgi.metrics.checks import check_images, check_map, check_mask, check_score, check_scores, check_truth
from rgi.metrics.regions import region_weights
from rgi.metrics.similarity import WINDOW, similarity

DATA_RANGE = (-1.0, 1.0)
SSIM_BORDER = WINDOW // 2  # nearer to the border the window would see what lies outside of the image


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, peak 2, images clamped to [-1,1]: (B,) float64.

    Infinite for equal images, NaN for images with NaN.

    Args:
        restored, clean: (B,C,H,W).

    Raises:
        InputError: shapes that differ or are not (B,C,H,W).
    """
    check_images(restored, clean)
    return peak_signal_noise_ratio(
        restored.double(), clean.double(), data_range=DATA_RANGE, reduction="none", dim=(1, 2, 3)
    )


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004): (B,) float64, at most 1.

    Gaussian window of sigma 1.5 and 11 pixels, data range 2, images clamped to [-1,1], mean over channels and over
    the pixels whose window lies inside the image. NaN for images with NaN.

    Args:
        restored, clean: (B,C,H,W), H and W at least 11.

    Raises:
        InputError: shapes that differ or are not (B,C,H,W); smaller images.
    """
    check_images(restored, clean)
    if min(restored.shape[2:]) <= 2 * SSIM_BORDER:
        raise InputError(
            f"restored {tuple(restored.shape)}: SSIM needs images of at least {2 * SSIM_BORDER + 1} pixels a side"
        )
    low, high = DATA_RANGE
    images = (each.double().clamp(low, high) for each in (restored, clean))
    inside = slice(SSIM_BORDER, -SSIM_BORDER)
    return similarity(*images, data_range=high - low)[:, :, inside, inside].mean((1, 2, 3))


def psnr_hole(restored: Tensor, clean: Tensor, mask: Tensor) -> Tensor:
    """`psnr` over the scalars of the hole alone: (B,) float64, NaN for images without a hole.

    Args:
        restored, clean: (B,C,H,W).
        mask: (B,1,H,W) in {0,1}, 1 = hole.

    Raises:
        InputError: shapes that do not fit, a mask of other values.
    """
    check_images(restored, clean)
    check_mask("mask", mask, clean)
    hole = (mask != 0).expand_as(clean)
    squares = (restored.double().clamp(*DATA_RANGE) - clean.double().clamp(*DATA_RANGE)).square()
    error = torch.where(hole, squares, 0).sum((1, 2, 3)) / hole.sum((1, 2, 3))
    return 10 * ((DATA_RANGE[1] - DATA_RANGE[0]) ** 2 / error).log10()


def psnr_composited(restored: Tensor, clean: Tensor, mask: Tensor, observed: Tensor) -> Tensor:
    """`psnr` of the image that is shown to a user, observed outside the hole and restored inside: (B,) float64.

    NaN for images without a hole, of which nothing was restored.

    Args:
        restored, clean, observed: (B,C,H,W).
        mask: (B,1,H,W) in {0,1}, 1 = hole.

    Raises:
        InputError: shapes that do not fit, a mask of other values.
    """
    return psnr(*_composited(restored, clean, mask, observed)).masked_fill(_without_hole(mask), torch.nan)


def ssim_composited(restored: Tensor, clean: Tensor, mask: Tensor, observed: Tensor) -> Tensor:
    """`ssim` of the image of `psnr_composited`, with its arguments: (B,) float64, NaN for images without a hole."""
    return ssim(*_composited(restored, clean, mask, observed)).masked_fill(_without_hole(mask), torch.nan)


def mask_iou(estimated: Tensor, mask: Tensor, threshold: float = 0.5) -> Tensor:
    """Intersection over union of the pixels found and the true ones, per image: (B,) float64.

    A pixel is found where the mean over channels of the absolute mask > threshold: half of it is explained by
    the mask. The best threshold for the whole set is another question, see ``best_iou`` of `PixelCurve`.
    NaN for images whose true mask is empty.

    Args:
        estimated: (B,C,H,W), as optimised.
        mask: (B,1,H,W) in {0,1}, the truth.

    Raises:
        InputError: shapes that do not fit, NaN in the estimated mask, a truth of other values.
    """
    check_mask("mask", mask, estimated)
    check_score("estimated", estimated)
    called, true = estimated.abs().mean(1, keepdim=True) > threshold, mask != 0
    overlap = (called & true).sum((1, 2, 3)).double() / (called | true).sum((1, 2, 3))
    return overlap.masked_fill(_without_hole(mask), torch.nan)


def _composited(restored: Tensor, clean: Tensor, mask: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    check_images(restored, clean)
    check_images(observed, clean)
    check_mask("mask", mask, clean)
    return torch.where(mask != 0, restored, observed), clean


def _without_hole(mask: Tensor) -> Tensor:
    return mask.amax((1, 2, 3)) == 0


class ImageAUROC(Metric):
    """Exact AUROC of one score per image, over the whole test set; NaN without both classes."""

    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the states; a process without images joins the gathering with an empty tensor of it."""
        return torch.float64

    def update(self, score: Tensor, label: Tensor) -> None:
        """Add a batch.

        Args:
            score: (B,), higher is more anomalous.
            label: (B,) in {0,1}, 1 = has a defect.

        Raises:
            InputError: shapes that do not fit, a NaN score, other labels.
        """
        if score.ndim != 1 or label.shape != score.shape:
            raise InputError(f"score {tuple(score.shape)} and label {tuple(label.shape)}: pass two (B,)")
        check_score("score", score)
        check_truth("label", label)
        self.scores.append(score.double())
        self.labels.append(label.double())

    def compute(self) -> Tensor:
        """The AUROC, a float64 scalar."""
        if isinstance(self.scores, list) and not self.scores:
            return torch.tensor(float("nan"), dtype=torch.float64, device=self.device)
        _, positives, negatives = curves.levels(dim_zero_cat(self.scores), dim_zero_cat(self.labels))
        return curves.auroc(positives, negatives)


class PixelCurve(Metric):
    """Pixel scores over all pixels of a test set pooled, in constant memory (200 MB).

    Scores are binned (`rgi.metrics.bins`), so results depend neither on the order nor on the size of batches (AUPRO's
    sums of fractions: up to rounding), and histograms of several processes add up. Each bin also keeps its extreme
    scores: a bin of one single value (zero, or a level of a mask that has few) holds true ties and costs nothing;
    the scores ``*_error`` bound what the others cost.
    """

    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("defect", bins.default_state(0, torch.int64), dist_reduce_fx="sum")
        self.add_state("sound", bins.default_state(0, torch.int64), dist_reduce_fx="sum")
        self.add_state("overlap", bins.default_state(0, torch.float64), dist_reduce_fx="sum")
        self.add_state("lowest", bins.default_state(torch.inf, torch.float32), dist_reduce_fx="min")
        self.add_state("highest", bins.default_state(0, torch.float32), dist_reduce_fx="max")
        self.reset()

    def update(self, anomaly_map: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Args:
            anomaly_map: (B,H,W) >= 0, higher is more anomalous, ranked as float32.
            mask: (B,1,H,W) in {0,1}, 1 = defect.

        Raises:
            InputError: shapes that do not fit, negative or NaN scores, a mask of other values.
        """
        check_map(anomaly_map, mask)
        check_scores("anomaly_map", anomaly_map)
        score, defect = anomaly_map.flatten().float(), mask.flatten() != 0
        index = bins.bin_index(score)
        self.defect.scatter_add_(0, index, defect.long())
        self.sound.scatter_add_(0, index, (~defect).long())
        self.overlap.scatter_add_(0, index[defect], region_weights(mask).flatten()[defect])
        self.lowest.scatter_reduce_(0, index, score, "amin")
        self.highest.scatter_reduce_(0, index, score, "amax")

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars, all NaN when the truth is all empty or all full.

        ``pixel_auroc``; ``aupro``, the per-region overlap integrated to a false-positive rate of 0.3 and divided by
        it (`curves.aupro`); ``pixel_ap``, average precision; ``best_f1`` (= Dice) at ``best_f1_threshold``, the one
        threshold for the whole set: defect where the float32 score >= threshold; ``best_iou``, of all pixels
        pooled, at the same threshold, since it grows with F1. Of each of the first four, ``<name>_error`` bounds the
        distance from the unbinned scores' (`best_f1` is never above theirs).
        """
        index = (self.defect + self.sound).nonzero().squeeze(1)
        defect, sound = self.defect[index], self.sound[index]
        lowest, highest = self.lowest[index], self.highest[index]
        exact = lowest == highest
        f1, threshold = curves.best_f1(lowest, defect, sound)
        aupro, aupro_error = curves.aupro(self.overlap[index], sound, exact)
        return {
            "pixel_auroc": curves.auroc(defect, sound),
            "pixel_auroc_error": curves.auroc_error(defect, sound, exact),
            "aupro": aupro,
            "aupro_error": aupro_error,
            "pixel_ap": curves.average_precision(defect, sound),
            "pixel_ap_error": curves.average_precision_error(defect, sound, exact),
            "best_f1": f1,
            "best_f1_error": curves.best_f1_error(defect, sound, exact),
            "best_f1_threshold": threshold,
            "best_iou": f1 / (2 - f1),
        }
