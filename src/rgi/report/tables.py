"""The tables of a report: scores by method, and by kind of image. Text cells, the best ones marked."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rgi.report.methods import MethodResults

MISSING = "\u2013"


@dataclass(frozen=True)
class Metric:
    """How a score is shown; ``better`` is +1 if higher is better, -1 if lower is, 0 if it ranks nothing."""

    label: str
    better: int
    show: Callable[[float], str]
    meaning: str


@dataclass(frozen=True)
class MarkedTable:
    """The cells of a table as ``texts``, and which of them are the ``best`` of what they are compared with."""

    texts: pd.DataFrame
    best: pd.DataFrame

    @property
    def rows(self) -> list[tuple[str, list[tuple[str, bool]]]]:
        """Per row its heading and its cells, each a text and whether it is best."""
        cells = zip(self.texts.to_numpy(), self.best.to_numpy(), strict=True)
        return [(head, list(zip(*row, strict=True))) for head, row in zip(self.texts.index, cells, strict=True)]


def fixed(places: int) -> Callable[[float], str]:
    """A formatter with this many decimals, of thousands separated by a thin space."""
    return lambda value: f"{value:,.{places}f}".replace(",", "\u2009") if math.isfinite(value) else MISSING


def significant(value: float) -> str:
    """Three digits, more only before the decimal point."""
    if not math.isfinite(value):
        return MISSING
    return fixed(0)(value) if value == 0 or abs(value) >= 99.95 else f"{value:#.3g}"


STANDARD = "Standard protocol: pooled over all test pixels."
REFERENCE = "Reference protocol: as the authors' code computes it, mean over images."
DETAILS = (
    "paper_map_pixel_ap",
    "paper_map_best_f1",
    "_error",
    "_median",
    "_std",
    "_left_out",
    "_fpr",
    "_threshold",
    "best_iou",
)  # in metrics.json, not on the page
METRICS = {
    "pixel_auroc": Metric(
        "Pixel AUROC",
        1,
        fixed(3),
        f"How often a corrupted pixel has a higher anomaly value than an intact one; 0.5 is chance. {STANDARD}",
    ),
    "aupro": Metric(
        "AUPRO",
        1,
        fixed(3),
        "Share of each corrupted region that is found, mean over regions, averaged over false-positive rates to 0.3; "
        f"chance is 0.15. {STANDARD}",
    ),
    "pixel_ap": Metric(
        "Pixel average precision",
        1,
        fixed(3),
        f"Area under the precision-recall curve of the pixels; chance is the share of corrupted pixels. {STANDARD}",
    ),
    "best_f1": Metric(
        "Best F1",
        1,
        fixed(3),
        "F1 (the same as Dice) of the pixels at the one threshold that serves the whole set best. The threshold is "
        f"chosen with the truth, so this is an upper bound. {STANDARD}",
    ),
    "best_f1_threshold": Metric(
        "Threshold of best F1", 0, significant, "The anomaly value at which the best F1 is reached; no score."
    ),
    "paper_map_pixel_auroc": Metric(
        "Pixel AUROC, paper's map",
        1,
        fixed(3),
        f"Of the map that the paper ranks: the mask, without one the residual, unsmoothed. {STANDARD}",
    ),
    "paper_map_aupro": Metric("AUPRO, paper's map", 1, fixed(3), f"Of the same map. {STANDARD}"),
    "f1_at_clean_threshold": Metric(
        "F1, threshold from clean images",
        1,
        fixed(3),
        "F1 of the pixels at a threshold that a stated share of the pixels of clean validation images exceeds: it was "
        f"chosen without the truth. {STANDARD}",
    ),
    "image_auroc": Metric(
        "Image AUROC",
        1,
        fixed(3),
        "How often an image with corruption has a higher score than one without; 0.5 is chance. "
        "Standard protocol: over all test images.",
    ),
    "psnr": Metric(
        "PSNR (dB)",
        1,
        fixed(2),
        "Peak signal-to-noise ratio of the restored against the clean image, mean over images. Standard protocol: "
        "clamped to [-1, 1], peak 2.",
    ),
    "ssim": Metric(
        "SSIM",
        1,
        fixed(3),
        "Structural similarity of the restored and the clean image (1 = equal), mean over images. Standard protocol: "
        "clamped to [-1, 1], range 2, Gaussian window of 11 pixels.",
    ),
    "psnr_hole": Metric(
        "PSNR in the hole (dB)", 1, fixed(2), "The same over the corrupted pixels alone, images without any left out."
    ),
    "psnr_composited": Metric(
        "PSNR composited (dB)",
        1,
        fixed(2),
        "The same of an image that is observed outside of the true mask and restored inside.",
    ),
    "ssim_composited": Metric("SSIM composited", 1, fixed(3), "Structural similarity of the same composite."),
    "mask_iou": Metric(
        "Mask IoU",
        1,
        fixed(3),
        "Intersection over union of the true mask and the pixels where the found mask is above 0.5, mean over images.",
    ),
    "reference/auroc": Metric("AUROC, as published", 1, fixed(3), f"Of the mask, or the residual. {REFERENCE}"),
    "reference/dice": Metric(
        "Dice, as published", 1, fixed(3), f"At each image's own best threshold: an upper bound. {REFERENCE}"
    ),
    "reference/psnr": Metric("PSNR, as published (dB)", 1, fixed(2), f"Peak 1 on a range of 2. {REFERENCE}"),
    "reference/ssim": Metric("SSIM, as published", 1, fixed(3), REFERENCE),
    "evaluations_per_image": Metric(
        "Generator evaluations", -1, fixed(0), "Images that the generator made for each test image, pool not counted."
    ),
    "peak_memory_mib": Metric("Peak memory (MiB)", -1, fixed(0), "The most that the process held until then."),
    "seconds_per_image": Metric("Seconds per image", -1, significant, "Computing time divided by images."),
    "images": Metric("Images", 0, fixed(0), "How many images the scores are over."),
}


def metric(key: str) -> Metric:
    """How to show a score; one that we do not know is shown under its own name and ranks nothing."""
    unknown = Metric(key.replace("_", " "), 0, significant, "A score that the run reports; not ranked here.")
    return METRICS.get(key, unknown)


def mark_best(texts: pd.Series, values: pd.Series, better: int) -> pd.Series:
    """Which values are best. What prints alike is equally good; among fewer than two there is no best."""
    finite = values.where(np.isfinite(values))
    if not better or finite.count() < 2:
        return pd.Series(False, values.index)
    return texts == texts.iloc[(better * finite).argmax()]


def marked(values: pd.DataFrame, metrics: list[Metric]) -> MarkedTable:
    """The values as texts, the best of each column marked; there is a metric per column."""
    texts, best = values.astype(object), values.astype(bool)
    for key, shown in zip(values, metrics, strict=True):
        texts[key] = values[key].map(shown.show)
        best[key] = mark_best(texts[key], values[key], shown.better)
    return MarkedTable(texts, best)


def shown_keys(keys: Iterable[str]) -> list[str]:
    """Known scores first, in the order of `METRICS`; what belongs to another score is left out."""
    kept = [key for key in keys if key in METRICS or not key.endswith(DETAILS)]
    return [key for key in METRICS if key in kept] + [key for key in kept if key not in METRICS]


def score_table(methods: list[MethodResults]) -> tuple[list[str], MarkedTable, list[str]]:
    """Scores with any finite value (keys), their table with a row per method, and the scores without one (keys)."""
    scores = pd.DataFrame([one.metrics for one in methods], [one.label for one in methods], dtype=float)
    scores = scores[shown_keys(scores)]
    undefined = [key for key in scores if not np.isfinite(scores[key]).any()]
    scores = scores.drop(columns=undefined)
    return list(scores), marked(scores, [metric(key) for key in scores]), undefined


def accuracies(methods: list[MethodResults], keys: list[str]) -> list[tuple[str, str]]:
    """Scores that come with an error: label, and the largest error of any method."""
    errors = pd.DataFrame([one.metrics for one in methods], dtype=float).max()
    errors = errors.reindex([f"{key}_error" for key in keys]).dropna()
    return [(metric(key.removesuffix("_error")).label, f"{error:.1g}") for key, error in errors.items()]


def kind_table(methods: list[MethodResults]) -> tuple[MarkedTable | None, int]:
    """Mean per-image pixel AUROC, a row per kind and a column per method, the best of each kind marked.

    Also how many images were skipped.

    An image counts only if every method has a number for it, so that the means of a row are over the same images.
    Without kinds there is no table.
    """
    words = methods[0].images.reindex(columns=["name", "category", "kind"], fill_value="").set_index("name")
    aurocs = pd.concat(
        [one.images.reindex(columns=["name", "pixel_auroc"]).set_index("name")["pixel_auroc"] for one in methods],
        axis="columns",
        keys=[one.label for one in methods],
    ).dropna()
    if aurocs.empty or not (words["kind"] != "").any():
        return None, 0
    kinds = words["kind"] if words["category"].nunique() == 1 else words["category"] + " / " + words["kind"]
    groups = aurocs.groupby(kinds)
    means, counts = groups.mean(), groups.size()
    if len(means) > 1:
        means.loc["all kinds"], counts["all kinds"] = aurocs.mean(), len(aurocs)
    by_kind = marked(means.T, [METRICS["pixel_auroc"]] * len(means))
    texts, best = by_kind.texts.T, by_kind.best.T
    texts.insert(0, "Images", counts.map(str))
    best.insert(0, "Images", False)
    return MarkedTable(texts, best), len(words) - len(aurocs)
