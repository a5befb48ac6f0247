"""Report page: a self-contained HTML page about the results of one or more methods on the same images."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image

from rgi.evaluation.results import load_result
from rgi.report import pictures
from rgi.report.curves import convergence
from rgi.report.formats import fixed, significant
from rgi.report.gallery import gallery, typical_name
from rgi.report.methods import MethodResults, check_methods, maps_and_histories
from rgi.report.pictures import Panel
from rgi.report.settings import settings_table
from rgi.report.tables import METRICS, binning_errors, kind_table, metric, score_table
from rgi.report.templates import load_template

__all__ = ["MethodResults", "write_report"]
IMAGE_SCORES = {  # formats of the numbers above the pictures of an image, besides AUROC and score
    "psnr": lambda value: f"{METRICS['psnr'].format(value)} dB",
    "ssim": lambda value: f"SSIM {METRICS['ssim'].format(value)}",
    "iterations": lambda value: f"{fixed(0)(value)} it.",
    "seconds": lambda value: f"{significant(value)} s",
}


@dataclass(frozen=True)
class ImagePictures:
    """Pictures of one image.

    Attributes:
        observed: observed image.
        clean: clean image, or None.
        truth: true mask (H,W) of bool, or None.
        restored: restored image of each method, or None.
        heatmaps: heat map of each method.
    """

    observed: Image.Image
    clean: Image.Image | None
    truth: np.ndarray | None
    restored: list[Image.Image | None]
    heatmaps: list[Image.Image]


@dataclass(frozen=True)
class Picture:
    """A picture in the page.

    Attributes:
        caption: text below the picture.
        alt: text for readers who do not see the picture.
        uri: data URI of the picture.
        outlined: whether the outline of the true mask is drawn over the picture.
    """

    caption: str
    alt: str
    uri: str
    outlined: bool = False


@dataclass(frozen=True)
class Group:
    """A group of pictures in a gallery entry: the pictures of the image itself, or of one method.

    Attributes:
        label: name of the method.
        index: position of the method; None for the image itself.
        pictures: pictures of the group.
        headline: AUROC or score of the image.
        details: other numbers of the image.
    """

    label: str
    index: int | None
    pictures: list[Picture]
    headline: str = ""
    details: str = ""

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.pictures)


@dataclass(frozen=True)
class Entry:
    """One image in the gallery.

    Attributes:
        name: name of the image.
        link: relative URL of the large picture.
        size: width and height in pixels.
        outline: outline of the true mask as the data of an SVG path in pixels.
        groups: groups of pictures.
    """

    name: str
    link: str
    size: tuple[int, int]
    outline: str
    groups: list[Group]


def write_report(
    folder: Path,
    title: str,
    methods: list[MethodResults],
    config_yaml: str,
    subtitle: str = "",
    environment: dict[str, str] | None = None,
) -> Path:
    """Write ``folder/report.html``, and one picture ``folder/pictures/<name>.png`` per image.

    The function reads the arrays of each image from ``<name>.npz`` in the results folder of each method: observed
    (C,H,W) and restored (C,H,W) with clean values in [-1,1]; map (H,W) >= 0, the scored anomaly map; history (T,), the
    objective per iteration, NaN after the image has settled; truth (1,H,W) in [0,1], the true mask; and clean (C,H,W).
    Only observed and map are required.

    Args:
        folder: folder of the page and the pictures.
        title: heading of the page.
        methods: results of the methods. The order of the gallery follows the last method.
        config_yaml: configuration of the run for the page.
        subtitle: text below the heading.
        environment: command and versions of the run for the page, by name.

    Returns:
        Path of the page.

    Raises:
        InputError: there is no method or no image, the methods have different images, an image name leads out of the
            folder, or a results file is missing, cannot be read or lacks a required array.
    """
    check_methods(methods)
    folder = Path(folder)
    images = methods[-1].images
    maps, histories = zip(*(maps_and_histories(each, list(images["name"])) for each in methods), strict=True)
    scales = [pictures.heatmap_scale(each) for each in maps]
    sections, typical = gallery(images), typical_name(images)
    on_page = {typical, *(name for section in sections for name in (*section.head, *section.tail))}
    entries, truths = {}, []
    for name in images["name"]:
        drawn = image_pictures(methods, name, scales)
        save_strip(folder / "pictures" / f"{name}.png", drawn, methods)
        truths.append(None if drawn.truth is None else bool(drawn.truth.any()))
        if name in on_page:
            entries[name] = gallery_entry(methods, name, drawn)
    target = folder / "report.html"
    page = load_template("page.html").render(
        **table_variables(methods),
        title=title,
        subtitle=subtitle,
        summary=run_summary(methods, entries[typical].size, truths),
        convergence=convergence([each.label for each in methods], list(histories)),
        scales=[significant(scale) for scale in scales],
        sections=sections,
        entries=entries,
        typical=entries[typical],
        config_yaml=config_yaml,
        environment=list((environment or {}).items()),
    )
    target.write_text(page, encoding="utf-8")
    return target


def table_variables(methods: list[MethodResults]) -> dict[str, Any]:
    """Template variables of the tables and their notes."""
    keys, scores, undefined = score_table(methods)
    kinds, skipped = kind_table(methods)
    return {
        "methods": methods,
        "metrics": [metric(key) for key in keys],
        "scores": scores,
        "binning_errors": binning_errors(methods, keys),
        "undefined": [metric(key).label for key in undefined],
        "kinds": kinds,
        "skipped": skipped,
        "settings": settings_table(methods),
    }


def image_pictures(methods: list[MethodResults], name: str, scales: list[float]) -> ImagePictures:
    """Load the arrays of an image and draw them.

    Args:
        methods: results of the methods.
        name: name of the image.
        scales: scale of the heat maps of each method.
    """
    shared = load_result(methods[0].results, name, ("observed",), ("clean", "truth"))
    results = [load_result(method.results, name, ("map",), ("restored",)) for method in methods]
    return ImagePictures(
        pictures.to_picture(shared["observed"]),
        pictures.to_picture(shared["clean"]) if "clean" in shared else None,
        shared["truth"][0] > 0.5 if "truth" in shared else None,
        [pictures.to_picture(each["restored"]) if "restored" in each else None for each in results],
        [pictures.heatmap(each["map"], scale) for each, scale in zip(results, scales, strict=True)],
    )


def save_strip(path: Path, drawn: ImagePictures, methods: list[MethodResults]) -> None:
    """Save all pictures of an image side by side in one file."""
    panels = [Panel("observed", drawn.observed)]
    for method, restored, heatmap in zip(methods, drawn.restored, drawn.heatmaps, strict=True):
        if restored is not None:
            panels.append(Panel(f"{method.label}: restored", restored))
        panels.append(Panel(f"{method.label}: map", heatmap, outlined=True))
    if drawn.clean is not None:
        panels.append(Panel("clean", drawn.clean))
    if drawn.truth is not None:
        panels.append(Panel("true mask", Image.fromarray(drawn.truth)))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.strip(panels, drawn.truth).save(path, compress_level=2)


def gallery_entry(methods: list[MethodResults], name: str, drawn: ImagePictures) -> Entry:
    """Entry of an image in the gallery."""
    image = [Picture("observed", f"{name}: observed", pictures.data_uri(drawn.observed))]
    if drawn.clean is not None:
        image.append(Picture("clean", f"{name}: clean", pictures.data_uri(drawn.clean)))
    elif drawn.truth is not None:
        truth = Image.fromarray(drawn.truth)
        image.append(Picture("true mask", f"{name}: true mask", pictures.data_uri(truth)))
    groups = [Group("Image", None, image)]
    for index, method in enumerate(methods):
        of_method, restored = [], drawn.restored[index]
        if restored is not None:
            alt = f"{name}: restored by {method.label}"
            of_method.append(Picture("restored", alt, pictures.data_uri(restored)))
        alt = f"{name}: anomaly map of {method.label}"
        of_method.append(Picture("map", alt, pictures.data_uri(drawn.heatmaps[index]), outlined=True))
        row = method.images[method.images["name"] == name].iloc[0]
        groups.append(Group(method.label, index, of_method, *image_scores(row)))
    border = "" if drawn.truth is None else pictures.outline_path(drawn.truth)
    return Entry(name, f"pictures/{quote(name)}.png", drawn.observed.size, border, groups)


def image_scores(row: pd.Series) -> tuple[str, str]:
    """Numbers of an image as text.

    Args:
        row: row of the image in `MethodResults.images`.

    Returns:
        The number that determines the order of the gallery (AUROC, or score without AUROC), and the other numbers.
    """
    values = {key: float(row.get(key, math.nan)) for key in ("score", "pixel_auroc", *IMAGE_SCORES)}
    score = f"score {significant(values['score'])}"
    others = [text(values[key]) for key, text in IMAGE_SCORES.items() if math.isfinite(values[key])]
    if math.isfinite(values["pixel_auroc"]):
        return f"AUROC {fixed(3)(values['pixel_auroc'])}", join_texts([score, *others])
    return score, join_texts(others)


def join_texts(texts: list[str]) -> str:
    """Join texts with dots. Line breaks are possible between two texts, but not inside a text."""
    return " · ".join(text.replace(" ", "\u00a0") for text in texts)


def run_summary(methods: list[MethodResults], size: tuple[int, int], truths: list[bool | None]) -> str:
    """Sentence with the methods and the images of a run.

    Args:
        methods: results of the methods.
        size: width and height of an image in pixels.
        truths: for each image, whether its true mask has corrupted pixels; None without a true mask.
    """
    labels = [method.label for method in methods]
    subject = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
    categories = ", ".join(sorted({*methods[-1].images.get("category", [])} - {""}))
    counts = [
        (truths.count(True), "with a known corruption"),
        (truths.count(False), "without corruption"),
        (truths.count(None), "without a true mask"),
    ]
    prefix = "" if len(truths) == 1 else "all "
    parts = [f"{count} {text}" if count < len(truths) else f"{prefix}{text}" for count, text in counts if count]
    images = "1 image" if len(truths) == 1 else f"{len(truths)} images"
    verb = "was" if len(labels) == 1 else "were"
    of = f" of {categories}" if categories else ""
    pixels = f"{size[0]} \u00d7 {size[1]} pixels"
    return f"{subject} {verb} run on {images}{of}, {pixels}{': ' if len(parts) > 1 else ', '}{', '.join(parts)}."
