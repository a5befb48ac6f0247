"""What the gallery of a report page shows, as data for its script."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rgi.report.methods import MethodResults
from rgi.report.pictures import Panel, strip_layout

# Numbers of an image: name in per_image.csv; label; decimals, or None for three significant digits; suffix; and whether
# the first click sorts from the highest value down.
NUMBERS = (
    ("pixel_auroc", "Pixel AUROC", 3, "", False),
    ("score", "Score", None, "", True),
    ("psnr", "PSNR", 2, " dB", False),
    ("ssim", "SSIM", 3, "", False),
    ("iterations", "Iterations", 0, "", True),
    ("seconds", "Seconds", None, " s", True),
)


@dataclass(frozen=True)
class Shown:
    """Pictures of an image, as the page shows them.

    Attributes:
        size: width and height of each picture in pixels.
        panels: role and position of the method (or None) of each picture, in the order of the strip.
        sources: data URI of each picture; None if the page takes them from the strip in the folder of pictures.
    """

    size: tuple[int, int]
    panels: tuple[tuple[str, int | None], ...]
    sources: list[str] | None


def shown(panels: list[Panel], sources: list[str]) -> Shown:
    """Description of the pictures of an image."""
    return Shown(panels[0].image.size, tuple((panel.role, panel.method) for panel in panels), sources)


def defects(images: pd.DataFrame, truths: list[bool | None]) -> list[bool | None]:
    """Whether each image has a defect: what its row says, else whether its true mask has pixels; None if unknown.

    Args:
        images: one row per image, with the optional column ``defective`` of bool or text.
        truths: for each image, whether its true mask has pixels; None without a true mask.
    """
    said = images.get("defective", pd.Series("", images.index)).astype(str)
    words = {"True": True, "False": False}
    return [words.get(word, truth) for word, truth in zip(said, truths, strict=True)]


def failure_ranks(images: pd.DataFrame, defective: list[bool | None]) -> list[int]:
    """Position of each image if failures come first.

    Three lists are merged evenly, each from its worst image: images with a pixel AUROC, from the lowest; other
    defective images, from the lowest score; and images that are clean or unknown, from the highest score.

    Args:
        images: one row per image with the column ``name`` and optionally ``pixel_auroc`` and ``score``.
        defective: whether each image has a defect; None if unknown.
    """
    table = images.reindex(columns=["name", "pixel_auroc", "score"]).reset_index(drop=True)
    missed = table["pixel_auroc"].isna() & pd.Series([bool(each) for each in defective], table.index)
    table["list"] = 2 - missed - 2 * table["pixel_auroc"].notna()
    table["badness"] = table["pixel_auroc"].fillna(table["score"].where(missed, -table["score"]))
    table = table.sort_values(["list", "badness", "name"])
    lists = table.groupby("list")["name"]
    table["share"] = lists.cumcount() / lists.transform("size")
    order = table.sort_values(["share", "list"], kind="stable").index
    return pd.Series(range(len(order)), order).sort_index().tolist()


def typical_position(images: pd.DataFrame) -> int:
    """Position of the image with the median pixel AUROC; without any pixel AUROC, of that with the median score."""
    table = images.reindex(columns=["name", "pixel_auroc", "score"]).reset_index(drop=True)
    scored = table[table["pixel_auroc"].notna()]
    if len(scored):
        return int(scored.sort_values(["pixel_auroc", "name"]).index[len(scored) // 2])
    return int(table.sort_values(["score", "name"]).index[len(table) // 2])


def gallery_data(methods: list[MethodResults], defective: list[bool | None], pictures: list[Shown]) -> dict[str, Any]:
    """Data of the gallery for the script of the page, ready for JSON.

    Args:
        methods: results of the methods, with the same images in the same order.
        defective: whether each image has a defect; None if unknown.
        pictures: pictures of each image.
    """
    images = methods[-1].images.reindex(columns=["name", "category", "kind"], fill_value="")
    several = images["category"].nunique() > 1
    kinds = images["category"] + " / " + images["kind"] if several else images["kind"]
    looks = list(dict.fromkeys((each.size, each.panels) for each in pictures))
    return {
        "methods": [method.label for method in methods],
        "names": images["name"].tolist(),
        "kinds": kinds.tolist() if kinds.nunique() > 1 else None,
        "defective": defective,
        "typical": typical_position(methods[-1].images),
        "failure": [failure_ranks(method.images, defective) for method in methods],
        "numbers": list(_numbers(methods)),
        "looks": [_look(*each) for each in looks],
        "look": [looks.index((each.size, each.panels)) for each in pictures],
        "sources": None if pictures[0].sources is None else [each.sources for each in pictures],
    }


def _numbers(methods: list[MethodResults]) -> Iterable[dict[str, Any]]:
    """The numbers that at least one method has for at least one image."""
    for key, label, decimals, suffix, descending in NUMBERS:
        table = [method.images.get(key, pd.Series(math.nan, method.images.index)) for method in methods]
        values = [[_short(value) for value in column] for column in table]
        if any(value is not None for column in values for value in column):
            yield {"label": label, "decimals": decimals, "suffix": suffix, "down": descending, "values": values}


def _short(value: float) -> float | None:
    """A number with the digits that the page can show, so that the page stays small; None if it is not finite."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _look(size: tuple[int, int], panels: tuple[tuple[str, int | None], ...]) -> dict[str, Any]:
    """Size of the pictures, what each shows, and where it is in the strip."""
    layout = strip_layout(size, len(panels))
    places = zip(panels, layout.corners, strict=True)
    return {
        "size": size,
        "factor": layout.factor,
        "strip": layout.size,
        "panels": [{"role": role, "method": method, "corner": corner} for (role, method), corner in places],
    }
