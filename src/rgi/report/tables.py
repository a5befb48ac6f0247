"""Tables of a report: metrics of each method, and pixel AUROC of each kind of defect."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rgi.report.formats import fixed, significant
from rgi.report.methods import MethodResults


@dataclass(frozen=True)
class Metric:
    """Description and format of a metric.

    Attributes:
        label: name in tables.
        direction: +1 if higher is better, -1 if lower is better, 0 if the metric has no ranking.
        format: function that converts a value to text.
        description: definition of the metric for the notes on the page.
    """

    label: str
    direction: int
    format: Callable[[float], str]
    description: str


@dataclass(frozen=True)
class MarkedTable:
    """A table of text with marks on the best cells.

    Attributes:
        texts: text of each cell.
        best: whether a cell is marked as the best; same shape as ``texts``.
    """

    texts: pd.DataFrame
    best: pd.DataFrame

    @property
    def rows(self) -> list[tuple[str, list[tuple[str, bool]]]]:
        """Heading and cells of each row. A cell is a text and whether the cell is the best."""
        cells = zip(self.texts.to_numpy(), self.best.to_numpy(), strict=True)
        return [(head, list(zip(*row, strict=True))) for head, row in zip(self.texts.index, cells, strict=True)]


STANDARD = "Standard protocol: all test pixels together."
REFERENCE = "Reference protocol: computed like the authors' code,"
# Metrics with these endings are in metrics.json, but not on the page.
HIDDEN_SUFFIXES = (
    *("paper_map_pixel_ap", "paper_map_best_f1", "best_iou"),
    *("reference/psnr", "reference/ssim"),  # means, but the authors report medians
    *("_error", "_median", "_std", "_left_out", "_fpr", "_threshold"),
)
METRICS = {
    "pixel_auroc": Metric(
        "Pixel AUROC",
        1,
        fixed(3),
        "Probability that a corrupted pixel has a higher anomaly value than an intact pixel. Chance level: 0.5. "
        f"{STANDARD}",
    ),
    "aupro": Metric(
        "AUPRO",
        1,
        fixed(3),
        "Detected share of each corrupted region, mean over regions and over false-positive rates from 0 to 0.3. "
        f"Chance level: 0.15. {STANDARD}",
    ),
    "pixel_ap": Metric(
        "Pixel average precision",
        1,
        fixed(3),
        f"Area under the precision-recall curve of the pixels. Chance level: share of corrupted pixels. {STANDARD}",
    ),
    "best_f1": Metric(
        "Best F1",
        1,
        fixed(3),
        "F1 score (= Dice) of the pixels at the threshold that is best for the whole test set. The true masks "
        f"determine this threshold, so the value is an upper bound. {STANDARD}",
    ),
    "best_f1_threshold": Metric(
        "Threshold of best F1", 0, significant, "Anomaly value at which F1 is highest. It is not a score."
    ),
    "paper_map_pixel_auroc": Metric(
        "Pixel AUROC, paper's map",
        1,
        fixed(3),
        "Pixel AUROC of the anomaly map of the paper: the mask without smoothing. For methods without a mask: the "
        f"residual without smoothing. {STANDARD}",
    ),
    "paper_map_aupro": Metric("AUPRO, paper's map", 1, fixed(3), f"AUPRO of the anomaly map of the paper. {STANDARD}"),
    "f1_at_clean_threshold": Metric(
        "F1, threshold from clean images",
        1,
        fixed(3),
        "F1 score of the pixels at a threshold from clean validation images. A fixed share of their pixels is above "
        f"this threshold. The true masks are not used for the threshold. {STANDARD}",
    ),
    "image_auroc": Metric(
        "Image AUROC",
        1,
        fixed(3),
        "Probability that an image with corruption has a higher score than an image without. Chance level: 0.5. "
        "Standard protocol: all test images together.",
    ),
    "psnr": Metric(
        "PSNR (dB)",
        1,
        fixed(2),
        "Peak signal-to-noise ratio between the restored and the clean image, mean over images. Standard protocol: "
        "images clamped to [-1, 1], peak 2.",
    ),
    "ssim": Metric(
        "SSIM",
        1,
        fixed(3),
        "Structural similarity between the restored and the clean image (1 = equal), mean over images. Standard "
        "protocol: images clamped to [-1, 1], range 2, Gaussian window of 11 pixels.",
    ),
    "psnr_hole": Metric(
        "PSNR in the hole (dB)", 1, fixed(2), "PSNR of the corrupted pixels, mean over images with corrupted pixels."
    ),
    "psnr_composited": Metric(
        "PSNR composited (dB)",
        1,
        fixed(2),
        "PSNR of the composite of observed pixels outside the true mask and restored pixels inside.",
    ),
    "ssim_composited": Metric(
        "SSIM composited",
        1,
        fixed(3),
        "SSIM of the composite of observed pixels outside the true mask and restored pixels inside.",
    ),
    "mask_iou": Metric(
        "Mask IoU",
        1,
        fixed(3),
        "Intersection over union of the true mask and the estimated mask, mean over images. The estimated mask "
        "contains the pixels with a mask value above 0.5.",
    ),
    "reference/auroc": Metric(
        "AUROC, as published",
        1,
        fixed(3),
        f"Pixel AUROC of the mask; for methods without a mask: of the residual. {REFERENCE} mean over images.",
    ),
    "reference/dice": Metric(
        "Dice, as published",
        1,
        fixed(3),
        "Dice score at the best threshold of each image, so the value is an upper bound. "
        f"{REFERENCE} mean over images.",
    ),
    "reference/psnr_median": Metric(
        "Median PSNR, as published (dB)",
        1,
        fixed(2),
        "PSNR with peak 1, after the restored and the clean image are each stretched to [0, 1] by their own extremes. "
        f"{REFERENCE} median over images.",
    ),
    "reference/ssim_median": Metric(
        "Median SSIM, as published",
        1,
        fixed(3),
        "Structural similarity with the constants of data range 1, although the range is 2, and zeros outside the "
        f"image. {REFERENCE} median over images.",
    ),
    "evaluations_per_image": Metric(
        "Generator evaluations", -1, fixed(0), "Images that the generator computes per test image, without the pool."
    ),
    "peak_memory_mib": Metric(
        "Peak memory (MiB)",
        -1,
        fixed(0),
        "Highest memory while the method ran: tensors on the GPU; on a CPU, the whole process with its libraries.",
    ),
    "seconds_per_image": Metric("Seconds per image", -1, significant, "Mean computing time of a test image."),
    "images": Metric("Images", 0, fixed(0), "Number of test images."),
}


def metric(key: str) -> Metric:
    """Description of a metric.

    Args:
        key: name of the metric in `METRICS`. Other names give a metric without a ranking, with its name as the label.
    """
    other = Metric(key.replace("_", " "), 0, significant, "Metric of the run without a description and a ranking.")
    return METRICS.get(key, other)


def mark_best(texts: pd.Series, values: pd.Series, direction: int) -> pd.Series:
    """Mark the best values. Values with the same text as the best value are also marked.

    Args:
        texts: formatted values.
        values: values of one metric. With fewer than two finite values, the result has no marks.
        direction: +1 if higher is better, -1 if lower is better, 0 for no marks.

    Returns:
        A Series of bool with the index of the values.
    """
    finite = values.where(np.isfinite(values))
    if not direction or finite.count() < 2:
        return pd.Series(False, values.index)
    return texts == texts.iloc[(direction * finite).argmax()]


def marked_table(values: pd.DataFrame, metrics: list[Metric]) -> MarkedTable:
    """Format the values and mark the best value of each column.

    Args:
        values: numbers, one column per metric.
        metrics: metrics of the columns.
    """
    texts, best = values.astype(object), values.astype(bool)
    for key, column in zip(values, metrics, strict=True):
        texts[key] = values[key].map(column.format)
        best[key] = mark_best(texts[key], values[key], column.direction)
    return MarkedTable(texts, best)


def table_keys(keys: Iterable[str]) -> list[str]:
    """Names of the metrics on the page.

    The metrics of `METRICS` come first, in the order of `METRICS`. Other metrics follow if they do not end with one of
    `HIDDEN_SUFFIXES`.
    """
    kept = [key for key in keys if key in METRICS or not key.endswith(HIDDEN_SUFFIXES)]
    return [key for key in METRICS if key in kept] + [key for key in kept if key not in METRICS]


def score_table(methods: list[MethodResults]) -> tuple[list[str], MarkedTable, list[str]]:
    """Table of the metrics of all methods.

    Returns:
        Names of the metrics with at least one finite value; the table of these metrics with one row per method; and
        names of the metrics without a finite value.
    """
    scores = pd.DataFrame([one.metrics for one in methods], [one.label for one in methods], dtype=float)
    scores = scores[table_keys(scores)]
    undefined = [key for key in scores if not np.isfinite(scores[key]).any()]
    scores = scores.drop(columns=undefined)
    return list(scores), marked_table(scores, [metric(key) for key in scores]), undefined


def binning_errors(methods: list[MethodResults], keys: list[str]) -> list[tuple[str, str]]:
    """Bounds on the errors of binned metrics.

    Args:
        methods: results of the methods.
        keys: names of metrics. Metrics without an error bound are left out.

    Returns:
        Label of each metric, and the largest error bound of all methods as text.
    """
    errors = pd.DataFrame([one.metrics for one in methods], dtype=float).max()
    errors = errors.reindex([f"{key}_error" for key in keys]).dropna()
    return [(metric(key.removesuffix("_error")).label, f"{error:.1g}") for key, error in errors.items()]


def kind_table(methods: list[MethodResults]) -> tuple[MarkedTable | None, int]:
    """Table of the mean pixel AUROC per image: one row per kind of defect, one column per method.

    The table only uses images with a pixel AUROC for all methods. So the means of a row are over the same images.

    Returns:
        The table, with the best method of each kind marked, and the number of images that are not in the table. Without
        kinds or without pixel AUROC: None and 0.
    """
    labels = methods[0].images.reindex(columns=["name", "category", "kind"], fill_value="").set_index("name")
    aurocs = pd.concat(
        [one.images.reindex(columns=["name", "pixel_auroc"]).set_index("name")["pixel_auroc"] for one in methods],
        axis="columns",
        keys=[one.label for one in methods],
    ).dropna()
    if aurocs.empty or not (labels["kind"] != "").any():
        return None, 0
    kinds = labels["kind"] if labels["category"].nunique() == 1 else labels["category"] + " / " + labels["kind"]
    groups = aurocs.groupby(kinds)
    means, counts = groups.mean(), groups.size()
    if len(means) > 1:
        means.loc["all kinds"], counts["all kinds"] = aurocs.mean(), len(aurocs)
    by_kind = marked_table(means.T, [METRICS["pixel_auroc"]] * len(means))
    texts, best = by_kind.texts.T, by_kind.best.T
    texts.insert(0, "Images", counts.map(str))
    best.insert(0, "Images", False)
    return MarkedTable(texts, best), len(labels) - len(aurocs)
