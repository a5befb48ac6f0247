"""Scores of a report as rows of metrics with one column for each method, so that no page is wider than its screen."""

from dataclasses import dataclass

from rgi.report.methods import MethodResults
from rgi.report.tables import METRICS, Metric, metric, score_table

COST = ("evaluations_per_image", "peak_memory_mib", "seconds_per_image", "images")
OF_RESTORATION = ("psnr", "ssim", "mask_iou")  # beginnings of names


@dataclass(frozen=True)
class Section:
    """Metrics of one kind.

    Attributes:
        title: heading.
        rows: metric, and for each method the text of its value and whether it is the best.
    """

    title: str
    rows: list[tuple[Metric, list[tuple[str, bool]]]]


def title_of(key: str) -> str:
    """Heading above a metric."""
    if key in COST:
        return "Cost"
    if key.startswith("reference/"):
        return "As the authors compute them"
    if key not in METRICS:
        return "Other"
    return "Restored images" if key.startswith(OF_RESTORATION) else "Found defects"


def score_sections(methods: list[MethodResults], ranked: bool) -> tuple[list[Section], Section, list[str]]:
    """All metrics by section.

    Args:
        methods: results of the methods.
        ranked: whether the best value of a metric is marked; false if the methods have different test images.

    Returns:
        The sections of scores; the section of the cost; and the labels of the metrics without a finite value.
    """
    keys, table, undefined = score_table(methods)
    found: dict[str, Section] = {}
    for key in keys:
        cells = zip(table.texts[key], table.best[key] & ranked, strict=True)
        found.setdefault(title_of(key), Section(title_of(key), [])).rows.append((metric(key), list(cells)))
    cost = found.pop("Cost", Section("Cost", []))
    return list(found.values()), cost, [metric(key).label for key in undefined]
