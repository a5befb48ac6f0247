"""Which images the gallery shows, and in which order."""

from dataclasses import dataclass

import pandas as pd

PLACES = 60  # images, at most


@dataclass(frozen=True)
class Section:
    """Part of the gallery: names before and after the ones that were left out."""

    title: str
    note: str
    head: list[str]
    left_out: int
    tail: list[str]


def ranked(images: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Names from the worst to the best pixel AUROC; and those without one by descending score, then without score."""
    table = images.reindex(columns=["name", "pixel_auroc", "score"])
    known = table["pixel_auroc"].notna()
    worst_first = table[known].sort_values(["pixel_auroc", "name"])
    highest_first = table[~known].sort_values(["score", "name"], ascending=[False, True])
    return list(worst_first["name"]), list(highest_first["name"])


def ends(names: list[str], places: int) -> tuple[list[str], int, list[str]]:
    """The first and the last names that fit, half each, and how many are left out between."""
    if len(names) <= places:
        return names, 0, []
    tail = places // 2
    return names[: places - tail], len(names) - places, names[len(names) - tail :]


def gallery(images: pd.DataFrame) -> list[Section]:
    """Images with a pixel AUROC take the places first, the others what remains."""
    known, others = ranked(images)
    sections = []
    if known:
        note = "from the worst to the best pixel AUROC"
        sections.append(Section("Images with a known corruption", note, *ends(known, PLACES)))
    if others:
        title = "Images without corruption or without a truth" if known else "All images"
        parts = ends(others, PLACES - min(len(known), PLACES))
        sections.append(Section(title, "from the highest to the lowest score", *parts))
    return sections


def typical_name(images: pd.DataFrame) -> str:
    """The image in the middle of the first section."""
    known, others = ranked(images)
    names = known or others
    return names[len(names) // 2]
