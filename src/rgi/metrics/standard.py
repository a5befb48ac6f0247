"""The `standard` protocol: one true data range, means over images, one ranking and one threshold for the test set.

Curves are our own: torchmetrics' AUROC passes the scores of a batch through a sigmoid as soon as one of them
leaves [0,1], so that batches are ranked on different scales.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.utilities import dim_zero_cat

from rgi.errors import InputError
from rgi.metrics import bins, curves
from rgi.metrics.checks import check_images, check_map, check_score, check_truth

DATA_RANGE = (-1.0, 1.0)
SSIM_BORDER = 5  # half the 11-pixel window: nearer to the border the window would see reflected pixels


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
    _, similarity = structural_similarity_index_measure(
        restored.double(), clean.double(), sigma=1.5, data_range=DATA_RANGE, reduction="none", return_full_image=True
    )
    inside = slice(SSIM_BORDER, -SSIM_BORDER)
    return similarity[:, :, inside, inside].mean((1, 2, 3))


class ImageMean(Metric):
    """Mean over the images of a test set of a function (restored, clean) -> (B,); NaN before the first image."""

    full_state_update = False

    def __init__(self, of: Callable[[Tensor, Tensor], Tensor], **options: Any) -> None:
        super().__init__(**options)
        self.of = of
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, restored: Tensor, clean: Tensor) -> None:
        """Add a batch, two (B,C,H,W)."""
        values = self.of(restored, clean)
        self.total += values.sum()
        self.images += len(values)

    def compute(self) -> Tensor:
        """The mean, a float64 scalar."""
        return self.total / self.images


class PSNR(ImageMean):
    """Mean of `psnr` over images, in dB."""

    def __init__(self, **options: Any) -> None:
        super().__init__(psnr, **options)


class SSIM(ImageMean):
    """Mean of `ssim` over images."""

    def __init__(self, **options: Any) -> None:
        super().__init__(ssim, **options)


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
    """Pixel scores over all pixels of a test set pooled, in constant memory (150 MB).

    Scores are binned (`rgi.metrics.bins`), so results depend neither on the order nor on the size of batches, and
    histograms of several processes add up. Each bin also keeps its extreme scores: a bin of one single value
    (zero, or a level of a mask that has few) holds true ties and costs nothing; ``pixel_auroc_error`` bounds what
    the others cost.
    """

    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("defect", torch.zeros(bins.BINS, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("sound", torch.zeros(bins.BINS, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("lowest", torch.full((bins.BINS,), torch.inf, dtype=torch.float32), dist_reduce_fx="min")
        self.add_state("highest", torch.zeros(bins.BINS, dtype=torch.float32), dist_reduce_fx="max")

    def update(self, anomaly_map: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Args:
            anomaly_map: (B,H,W) >= 0, higher is more anomalous, ranked as float32.
            mask: (B,1,H,W) in {0,1}, 1 = defect.

        Raises:
            InputError: shapes that do not fit, negative or NaN scores, a mask of other values.
        """
        check_map(anomaly_map, mask)
        if (anomaly_map < 0).any():
            raise InputError("anomaly_map: holds negative scores; pass absolute values or a map shifted to be >= 0")
        score, defect = anomaly_map.flatten().float(), mask.flatten().long()
        index = bins.bin_index(score)
        self.defect.scatter_add_(0, index, defect)
        self.sound.scatter_add_(0, index, 1 - defect)
        self.lowest.scatter_reduce_(0, index, score, "amin")
        self.highest.scatter_reduce_(0, index, score, "amax")

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars, all NaN when the truth is all empty or all full.

        ``pixel_auroc``; ``pixel_auroc_error``, a bound on its distance from the unbinned scores' AUROC;
        ``pixel_ap``, average precision; ``best_f1`` (= Dice) at ``best_f1_threshold``, the one threshold for the
        whole set: defect where the float32 score >= threshold.
        """
        index = (self.defect + self.sound).nonzero().squeeze(1)
        defect, sound = self.defect[index], self.sound[index]
        lowest, highest = self.lowest[index], self.highest[index]
        f1, threshold = curves.best_f1(lowest, defect, sound)
        return {
            "pixel_auroc": curves.auroc(defect, sound),
            "pixel_auroc_error": curves.auroc_error(defect, sound, exact=lowest == highest),
            "pixel_ap": curves.average_precision(defect, sound),
            "best_f1": f1,
            "best_f1_threshold": threshold,
        }
