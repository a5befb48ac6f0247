"""The tables of a report: scores by method, and by kind of image. Text cells, the best ones marked."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rgi.report.methods import Run, value

MISSING = "\u2013"


@dataclass(frozen=True)
class Metric:
    """How a score is shown; ``better`` is +1 if higher is better, -1 if lower is, 0 if it ranks nothing."""

    label: str
    better: int
    show: Callable[[float], str]
    meaning: str


@dataclass(frozen=True)
class Cell:
    text: str
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One row of a table: its heading, its cells, and over how many images they are (0 where it does not matter)."""

    label: str
    cells: list[Cell]
    images: int = 0


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


def best(texts: list[str], values: list[float], better: int) -> list[bool]:
    """Which values are best. What prints alike is equally good; among fewer than two there is no best."""
    finite = [value for value in values if math.isfinite(value)]
    if not better or len(finite) < 2:
        return [False] * len(values)
    winner = texts[values.index(max(finite) if better > 0 else min(finite))]
    return [text == winner for text in texts]


def score_keys(runs: list[Run]) -> list[str]:
    """Scores of any run, known ones first; what belongs to another score is left out."""
    found = list(dict.fromkeys(key for run in runs for key in run.metrics))
    found = [key for key in found if key in METRICS or not key.endswith(DETAILS)]
    return [key for key in METRICS if key in found] + [key for key in found if key not in METRICS]


def score_table(runs: list[Run]) -> tuple[list[str], list[Line], list[str]]:
    """Scores with any finite value (keys), a line per run, and the scores without one (keys)."""
    keys, lines = score_keys(runs), [[] for _ in runs]
    empty = [key for key in keys if not any(math.isfinite(run.metrics.get(key, math.nan)) for run in runs)]
    keys = [key for key in keys if key not in empty]
    for key in keys:
        known = metric(key)
        values = [float(run.metrics.get(key, math.nan)) for run in runs]
        texts = [known.show(value) for value in values]
        marks = best(texts, values, known.better)
        for cells, text, mark in zip(lines, texts, marks, strict=True):
            cells.append(Cell(text, mark))
    return keys, [Line(run.label, cells) for run, cells in zip(runs, lines, strict=True)], empty


def accuracies(runs: list[Run], keys: list[str]) -> list[tuple[str, str]]:
    """Scores that come with an error: label, and the largest error of any run."""
    found = []
    for key in keys:
        errors = [run.metrics.get(f"{key}_error", math.nan) for run in runs]
        errors = [error for error in errors if math.isfinite(error)]
        if errors:
            found.append((metric(key).label, f"{max(errors):.1g}"))
    return found


def kind_table(runs: list[Run]) -> tuple[list[Line], int]:
    """Mean per-image pixel AUROC, a line per kind and a cell per run; and how many images were skipped.

    An image counts only if every run has a number for it, so that the means of a line are over the same images.
    Without kinds there is no table.
    """
    if not any(kind_of(row) for row in runs[0].rows):
        return [], 0
    scores: dict[str, list[list[float]]] = {}
    several = len({row.get("category") for row in runs[0].rows}) > 1
    by_name = [{row["name"]: row for row in run.rows} for run in runs]
    for row in runs[0].rows:
        kind = f"{row.get('category', '')} / {kind_of(row)}" if several else kind_of(row)
        values = [value(rows[row["name"]], "pixel_auroc") for rows in by_name]
        if all(map(math.isfinite, values)):
            scores.setdefault(kind, []).append(values)
    lines = [mean_line(kind, scores[kind]) for kind in sorted(scores)]
    counted = sum(line.images for line in lines)
    if len(lines) > 1:
        lines.append(mean_line("all kinds", [values for each in scores.values() for values in each]))
    return lines, len(runs[0].rows) - counted


def kind_of(row: dict[str, Any]) -> str:
    return str(row.get("kind", ""))


def mean_line(label: str, scores: list[list[float]]) -> Line:
    means = [sum(column) / len(column) for column in zip(*scores, strict=True)]
    texts = [fixed(3)(mean) for mean in means]
    cells = [Cell(text, mark) for text, mark in zip(texts, best(texts, means, 1), strict=True)]
    return Line(label, cells, len(scores))
