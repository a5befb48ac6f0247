"""Choice and order of the images in the gallery of a report page."""

from dataclasses import dataclass

import pandas as pd

MAX_IMAGES = 60  # images on the page


@dataclass(frozen=True)
class Section:
    """A section of the gallery.

    Attributes:
        title: heading of the section.
        note: order of the images, in words.
        head: names of the first images.
        omitted: number of images that the page omits, between ``head`` and ``tail``.
        tail: names of the last images.
    """

    title: str
    note: str
    head: list[str]
    omitted: int
    tail: list[str]


def rank_images(images: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Sort the images of a run.

    Args:
        images: one row per image with the column ``name`` and optionally ``pixel_auroc`` and ``score``.

    Returns:
        Two lists of names: images with a pixel AUROC from the lowest to the highest, and images without one from the
        highest to the lowest score. Images without a score come last. Equal images are in alphabetical order.
    """
    table = images.reindex(columns=["name", "pixel_auroc", "score"])
    scored = table["pixel_auroc"].notna()
    worst_first = table[scored].sort_values(["pixel_auroc", "name"])
    highest_first = table[~scored].sort_values(["score", "name"], ascending=[False, True])
    return list(worst_first["name"]), list(highest_first["name"])


def first_and_last(names: list[str], limit: int) -> tuple[list[str], int, list[str]]:
    """Keep at most ``limit`` names: the first half and the last half.

    Args:
        names: names in the order of the gallery.
        limit: highest number of names to keep.

    Returns:
        The first names, the number of omitted names, and the last names. If all names fit, the last names are empty.
    """
    if len(names) <= limit:
        return names, 0, []
    tail = limit // 2
    return names[: limit - tail], len(names) - limit, names[len(names) - tail :]


def gallery(images: pd.DataFrame) -> list[Section]:
    """Sections of the gallery with at most `MAX_IMAGES` images.

    Images with a pixel AUROC come first. The other images get the remaining places.

    Args:
        images: one row per image, as for `rank_images`.
    """
    corrupted, others = rank_images(images)
    sections = []
    if corrupted:
        note = "from the worst to the best pixel AUROC"
        sections.append(Section("Images with a known corruption", note, *first_and_last(corrupted, MAX_IMAGES)))
    if others:
        title = "Images without corruption or without a true mask" if corrupted else "All images"
        parts = first_and_last(others, MAX_IMAGES - min(len(corrupted), MAX_IMAGES))
        sections.append(Section(title, "from the highest to the lowest score", *parts))
    return sections


def typical_name(images: pd.DataFrame) -> str:
    """Name of the image in the middle of the first section of the gallery."""
    corrupted, others = rank_images(images)
    names = corrupted or others
    return names[len(names) // 2]
