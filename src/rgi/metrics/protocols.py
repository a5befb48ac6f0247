"""Every score of both protocols in one object: what a test set allows is computed, the rest is not mentioned."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from rgi.metrics import reference, standard
from rgi.metrics.per_image import PerImage
from rgi.metrics.thresholds import FixedThreshold


def reference_auroc(explained: Tensor, true_mask: Tensor) -> Tensor:
    """`reference.auroc` of (B,C,H,W) and (B,1,H,W)."""
    return reference.auroc(explained, true_mask[:, 0])


def reference_dice(explained: Tensor, true_mask: Tensor) -> Tensor:
    """`reference.dice` of (B,C,H,W) and (B,1,H,W); the authors have defective images only, others are NaN here."""
    constant = true_mask.amax((1, 2, 3)) == true_mask.amin((1, 2, 3))
    return reference.dice(explained, true_mask[:, 0]).masked_fill(constant, torch.nan)


PAPER_MAP = "standard/paper_map"  # its scores' names begin with this
PER_IMAGE = {  # name, function, its inputs
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


class ImageCounts(Metric):
    """How many images each of several metrics saw, on all processes together."""

    full_state_update = False

    def __init__(self, metrics: int, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("images", torch.zeros(metrics, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: list[int]) -> None:
        """Add a batch: its images for each metric."""
        self.images += self.images.new_tensor(images)

    def compute(self) -> Tensor:
        """(metrics,) int64."""
        return self.images


class Scores(nn.Module):
    """The `standard` and the `reference` protocol, on as many processes as there are.

    A metric counts the images for which all it takes is there. Which ones do is settled after the processes have been
    added up, so that one that saw nothing asks for the same metrics as the others.

    Args:
        threshold: of the map, fixed on clean validation images (`rgi.metrics.thresholds`); None leaves its F1 out.
    """

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        pooled = {
            "standard/pixels": (standard.PixelCurve(), ("anomaly_map", "true_mask")),
            PAPER_MAP: (standard.PixelCurve(), ("paper_map", "true_mask")),
            "standard/image_auroc": (standard.ImageAUROC(), ("image_score", "image_label")),
        }
        if threshold is not None:
            pooled["standard/threshold"] = (FixedThreshold(threshold), ("anomaly_map", "true_mask"))
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
    ) -> None:
        """Add a batch.

        Args:
            anomaly_map: (B,H,W) >= 0, as it is to be ranked.
            restored: (B,C,H,W), one or three channels, neither clamped nor composited; None where nothing is restored.
            observed: (B,C,H,W).
            paper_map: (B,H,W) >= 0, the map that the paper ranks, to be scored beside the other; or None.
            estimated_mask: (B,C,H,W) as optimised, which the reference protocol ranks; None for a method that estimates
                none, whose residual it ranks instead.
            true_mask: (B,1,H,W) in {0,1}, 1 = corrupted, or None.
            clean: (B,C,H,W), or None.

        Raises:
            InputError: shapes or values that a metric refuses.
        """
        explained = estimated_mask
        if explained is None and restored is not None:
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
            "image_score": anomaly_map.amax((1, 2)),
            "image_label": None if true_mask is None else true_mask.amax((1, 2, 3)),
        }
        images = []
        for key, metric in self.metrics.items():
            tensors = [given[name] for name in self.inputs[key]]
            complete = all(tensor is not None for tensor in tensors)
            images.append(len(anomaly_map) if complete else 0)
            if complete:
                metric.update(*tensors)
        self.image_counts.update(images)

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars by ``<protocol>/<name>``, of the metrics that saw an image on any process."""
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
        """Forget all images."""
        for metric in [*self.metrics.values(), self.image_counts]:
            metric.reset()
