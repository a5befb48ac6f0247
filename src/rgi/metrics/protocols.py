"""All scores of the standard and the reference protocol that the data of a test set allow."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from rgi.metrics import reference, standard
from rgi.metrics.per_image import PerImage
from rgi.metrics.thresholds import FixedThreshold


def reference_auroc(explained: Tensor, true_mask: Tensor) -> Tensor:
    """`reference.auroc` for a true mask with a channel dimension.

    Args:
        explained: estimated mask or residual (B,C,H,W).
        true_mask: (B,1,H,W).
    """
    return reference.auroc(explained, true_mask[:, 0])


def reference_dice(explained: Tensor, true_mask: Tensor) -> Tensor:
    """`reference.dice` for a true mask with a channel dimension.

    The score is NaN for images without defect or without normal pixels. The authors' test set has no such images.

    Args:
        explained: estimated mask or residual (B,C,H,W).
        true_mask: (B,1,H,W).
    """
    constant = true_mask.amax((1, 2, 3)) == true_mask.amin((1, 2, 3))
    return reference.dice(explained, true_mask[:, 0]).masked_fill(constant, torch.nan)


PAPER_MAP = "standard/paper_map"  # prefix of the names of its scores
PER_IMAGE = {  # name: function, names of its arguments
    "standard/psnr": (standard.psnr, ("restored", "clean")),
    "standard/ssim": (standard.ssim, ("restored", "clean")),
    "standard/psnr_hole": (standard.psnr_hole, ("restored", "clean", "true_mask")),
    "standard/psnr_composited": (standard.psnr_composited, ("restored", "clean", "true_mask", "observed")),
    "standard/ssim_composited": (standard.ssim_composited, ("restored", "clean", "true_mask", "observed")),
    "standard/mask_iou": (standard.mask_iou, ("estimated_mask", "true_mask")),
    "reference/psnr": (reference.psnr, ("restored", "clean")),
    "reference/ssim": (reference.ssim, ("restored", "clean")),
    "reference/auroc": (reference_auroc, ("explained", "true_mask")),
    "reference/dice": (reference_dice, ("explained", "true_mask")),
}

THRESHOLD = "standard/threshold"
POOLED_PIXELS = ("standard/pixels", PAPER_MAP, THRESHOLD)  # scores of the pixels of all images together


def _labels(true_mask: Tensor | None, counted: Tensor | None) -> Tensor | None:
    """Labels (B,) of the images by their true masks (B,1,H,W)."""
    if true_mask is None:
        return None
    return (true_mask if counted is None else true_mask * counted).amax((1, 2, 3))


class ImageCounts(Metric):
    """Number of images that each of several metrics has seen, summed over all processes.

    Args:
        metrics: number of metrics.
    """

    full_state_update = False

    def __init__(self, metrics: int, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("images", torch.zeros(metrics, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: list[int]) -> None:
        """Add the numbers of images of a batch, one number for each metric."""
        self.images += self.images.new_tensor(images)

    def compute(self) -> Tensor:
        """Numbers of images (metrics,) int64."""
        return self.images


class Scores(nn.Module):
    """All scores of the `standard` and the `reference` protocol, on one or several processes.

    A metric is updated only with batches that have all of its arguments. `compute` leaves out a metric that has seen no
    image on any process. The numbers of images are summed over the processes first. Therefore all processes compute the
    same metrics, including a process without images.

    Args:
        threshold: threshold of the anomaly map from clean validation images (`rgi.metrics.thresholds`); None leaves
            out the scores at this threshold.
    """

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        pooled = {
            "standard/pixels": (standard.PixelCurve(), ("anomaly_map", "true_mask")),
            PAPER_MAP: (standard.PixelCurve(), ("paper_map", "true_mask")),
            "standard/image_auroc": (standard.ImageAUROC(), ("image_score", "image_label")),
        }
        if threshold is not None:
            pooled[THRESHOLD] = (FixedThreshold(threshold), ("anomaly_map", "true_mask"))
        per_image = {
            key: (PerImage(key.partition("/")[2], function), inputs) for key, (function, inputs) in PER_IMAGE.items()
        }
        metrics = pooled | per_image
        self.metrics = nn.ModuleDict({key: metric for key, (metric, _) in metrics.items()})
        self.inputs = {key: inputs for key, (_, inputs) in metrics.items()}
        self.image_counts = ImageCounts(len(metrics))

    def update(
        self,
        *,
        anomaly_map: Tensor,
        restored: Tensor | None,
        observed: Tensor,
        paper_map: Tensor | None = None,
        estimated_mask: Tensor | None = None,
        true_mask: Tensor | None = None,
        clean: Tensor | None = None,
        defective: Tensor | None = None,
        image_score: Tensor | None = None,
        counted: Tensor | None = None,
    ) -> None:
        """Add a batch.

        Args:
            anomaly_map: pixel scores (B,H,W) >= 0; a higher score means more anomalous.
            restored: restored images (B,C,H,W) with one or three channels, neither clamped nor composited; None for a
                method that restores nothing.
            observed: observed images (B,C,H,W).
            paper_map: the paper's pixel scores (B,H,W) >= 0, evaluated in addition to `anomaly_map`; or None.
            estimated_mask: optimised mask (B,C,H,W) for the reference protocol; None for a method without a mask, for
                which the reference protocol uses the residual.
            true_mask: true mask (B,1,H,W) in {0,1}, 1 = corrupted; or None.
            clean: clean images (B,C,H,W); or None.
            defective: labels (B,) of bool, decided before the mask was resized; None takes them from the mask.
            image_score: score (B,) of each image; None for the highest value of its map.
            counted: pixels that count (B,1,H,W) in {0,1}: others are left out of all scores of maps, and scores of
                single masks are left out altogether. None for all.

        Raises:
            InputError: a metric refuses the shape or the values of an argument.
        """
        region = {} if counted is None else {"counted": counted}
        if counted is not None:
            anomaly_map, estimated_mask = anomaly_map * counted[:, 0], None
        explained = estimated_mask
        if explained is None and restored is not None and counted is None:
            explained = observed - restored
        given = {
            "anomaly_map": anomaly_map,
            "restored": restored,
            "observed": observed,
            "paper_map": paper_map,
            "estimated_mask": estimated_mask,
            "explained": explained,
            "true_mask": true_mask,
            "clean": clean,
            "image_score": anomaly_map.amax((1, 2)) if image_score is None else image_score,
            "image_label": _labels(true_mask, counted) if defective is None else defective,
        }
        images = []
        for key, metric in self.metrics.items():
            tensors = [given[name] for name in self.inputs[key]]
            complete = all(tensor is not None for tensor in tensors)
            images.append(len(anomaly_map) if complete else 0)
            if complete:
                metric.update(*tensors, **(region if key in POOLED_PIXELS else {}))
        self.image_counts.update(images)

    def compute(self) -> dict[str, Tensor]:
        """Scores of all metrics that have seen an image on any process.

        Returns:
            ``<protocol>/<name>`` to float64 scalar.
        """
        scores = {}
        for (key, metric), images in zip(self.metrics.items(), self.image_counts.compute().tolist(), strict=True):
            if images:
                protocol, _, name = key.partition("/")
                values = metric.compute()
                values = values if isinstance(values, dict) else {name: values}
                if key == PAPER_MAP:
                    values = {f"paper_map_{score}": value for score, value in values.items()}
                scores |= {f"{protocol}/{score}": value for score, value in values.items()}
        return scores

    def reset(self) -> None:
        """Reset all metrics."""
        for metric in [*self.metrics.values(), self.image_counts]:
            metric.reset()
