"""Which images the gallery shows, and in which order."""

import math
from dataclasses import dataclass
from typing import Any

from rgi.report.methods import value

PLACES = 60  # images, at most


@dataclass(frozen=True)
class Section:
    """Part of the gallery: names before and after the ones that were left out."""

    title: str
    note: str
    head: list[str]
    left_out: int
    tail: list[str]


def ranked(rows: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Names from the worst to the best pixel AUROC; and those without one by descending score."""
    known = [row for row in rows if math.isfinite(value(row, "pixel_auroc"))]
    others = [row for row in rows if not math.isfinite(value(row, "pixel_auroc"))]
    known.sort(key=lambda row: (value(row, "pixel_auroc"), row["name"]))
    others.sort(key=lambda row: (alarm(row), row["name"]))
    return [row["name"] for row in known], [row["name"] for row in others]


def alarm(row: dict[str, Any]) -> float:
    """Sorts by descending score; an image without a score goes last."""
    score = value(row, "score")
    return math.inf if math.isnan(score) else -score


def ends(names: list[str], places: int) -> tuple[list[str], int, list[str]]:
    """The first and the last names that fit, half each, and how many are left out between."""
    if len(names) <= places:
        return names, 0, []
    tail = places // 2
    return names[: places - tail], len(names) - places, names[len(names) - tail :]


def gallery(rows: list[dict[str, Any]]) -> list[Section]:
    """Images with a pixel AUROC take the places first, the others what remains."""
    known, others = ranked(rows)
    sections = []
    if known:
        note = "from the worst to the best pixel AUROC"
        sections.append(Section("Images with a known corruption", note, *ends(known, PLACES)))
    if others:
        title = "Images without corruption or without a truth" if known else "All images"
        parts = ends(others, PLACES - min(len(known), PLACES))
        sections.append(Section(title, "from the highest to the lowest score", *parts))
    return sections


def typical_name(rows: list[dict[str, Any]]) -> str:
    """The image in the middle of the first section."""
    known, others = ranked(rows)
    names = known or others
    return names[len(names) // 2]
