"""The report: one self-contained HTML page about one or several methods' results on the same images."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from rgi.evaluation.results import load_result
from rgi.report import pictures
from rgi.report.curves import convergence
from rgi.report.gallery import PLACES, gallery, typical_name
from rgi.report.methods import MethodResults, check, maps_and_histories
from rgi.report.pictures import Panel
from rgi.report.tables import METRICS, accuracies, fixed, kind_table, metric, score_table, significant

__all__ = ["MethodResults", "write_report"]
IMAGE_SCORES = {  # what stands above an image's pictures, besides AUROC and score
    "psnr": lambda value: f"{METRICS['psnr'].show(value)} dB",
    "ssim": lambda value: f"SSIM {METRICS['ssim'].show(value)}",
    "iterations": lambda value: f"{fixed(0)(value)} it.",
    "seconds": lambda value: f"{significant(value)} s",
}


@dataclass(frozen=True)
class ImagePictures:
    """The pictures of one image: what was observed and known, and per method what was restored and the heat map."""

    observed: Image.Image
    clean: Image.Image | None
    truth: np.ndarray | None
    restored: list[Image.Image | None]
    heat: list[Image.Image]


@dataclass(frozen=True)
class Picture:
    """An embedded picture with its caption; ``outlined`` where the border of the truth lies over it."""

    caption: str
    alt: str
    uri: str
    outlined: bool = False


@dataclass(frozen=True)
class Group:
    """Pictures that belong together: the image itself (index None), or one method's."""

    label: str
    index: int | None
    pictures: list[Picture]
    headline: str = ""
    details: str = ""

    @property
    def size(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class Entry:
    """One image in the gallery; ``outline`` is an SVG path in pixels."""

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
    """Write ``folder/report.html`` and one ``folder/pictures/<name>.png`` per image; returns the page's path.

    The results are ``<name>.npz`` in each method's folder, with observed (C,H,W) and restored (C,H,W) in about [-1,1],
    map (H,W) >= 0 as it was scored, history (T,) the objective per iteration (NaN once the image has settled), and
    where known truth (1,H,W) in [0,1] and clean (C,H,W). A method that restores nothing or does not iterate leaves
    ``restored`` or ``history`` out. The last method decides the order of the gallery. ``environment`` is what the
    results were made with (command, versions), shown as it is.

    Raises:
        InputError: no method, no image, methods over different images, a name that leaves the folder, a results file
            that is missing or unreadable or lacks an array.
    """
    check(methods)
    folder = Path(folder)
    images = methods[-1].images
    maps, histories = zip(*(maps_and_histories(each, list(images["name"])) for each in methods), strict=True)
    scales = [pictures.heat_scale(each) for each in maps]
    sections, typical = gallery(images), typical_name(images)
    shown = {typical, *(name for section in sections for name in (*section.head, *section.tail))}
    entries, truths = {}, []
    for name in images["name"]:
        drawn = image_pictures(methods, name, scales)
        save_strip(folder / "pictures" / f"{name}.png", drawn, methods)
        truths.append(None if drawn.truth is None else bool(drawn.truth.any()))
        if name in shown:
            entries[name] = entry(methods, name, drawn)
    target = folder / "report.html"
    page = template("page.html").render(
        **scores_and_kinds(methods),
        title=title,
        subtitle=subtitle,
        sentence=sentence(methods, entries[typical].size, truths),
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


def scores_and_kinds(methods: list[MethodResults]) -> dict[str, Any]:
    """What the page's tables and their footnotes say."""
    keys, scores, undefined = score_table(methods)
    kinds, skipped = kind_table(methods)
    return {
        "methods": methods,
        "metrics": [metric(key) for key in keys],
        "scores": scores,
        "accuracies": accuracies(methods, keys),
        "undefined": [metric(key).label for key in undefined],
        "kinds": kinds,
        "skipped": skipped,
    }


def image_pictures(methods: list[MethodResults], name: str, scales: list[float]) -> ImagePictures:
    known = load_result(methods[0].results, name, ("observed",), ("clean", "truth"))
    results = [load_result(method.results, name, ("map",), ("restored",)) for method in methods]
    return ImagePictures(
        pictures.photograph(known["observed"]),
        pictures.photograph(known["clean"]) if "clean" in known else None,
        known["truth"][0] > 0.5 if "truth" in known else None,
        [pictures.photograph(each["restored"]) if "restored" in each else None for each in results],
        [pictures.heat(each["map"], scale) for each, scale in zip(results, scales, strict=True)],
    )


def save_strip(path: Path, drawn: ImagePictures, methods: list[MethodResults]) -> None:
    panels = [Panel("observed", drawn.observed)]
    for method, restored, heat in zip(methods, drawn.restored, drawn.heat, strict=True):
        if restored is not None:
            panels.append(Panel(f"{method.label}: restored", restored))
        panels.append(Panel(f"{method.label}: map", heat, outlined=True))
    if drawn.clean is not None:
        panels.append(Panel("clean", drawn.clean))
    if drawn.truth is not None:
        panels.append(Panel("truth", Image.fromarray(drawn.truth)))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.strip(panels, drawn.truth).save(path, compress_level=2)


def entry(methods: list[MethodResults], name: str, drawn: ImagePictures) -> Entry:
    image = [Picture("observed", f"{name}: observed", pictures.data_uri(drawn.observed))]
    if drawn.clean is not None:
        image.append(Picture("clean", f"{name}: clean", pictures.data_uri(drawn.clean)))
    elif drawn.truth is not None:
        truth = Image.fromarray(drawn.truth)
        image.append(Picture("truth", f"{name}: truth", pictures.data_uri(truth)))
    groups = [Group("Image", None, image)]
    for index, method in enumerate(methods):
        shown, restored = [], drawn.restored[index]
        if restored is not None:
            alt = f"{name}: restored by {method.label}"
            shown.append(Picture("restored", alt, pictures.data_uri(restored)))
        alt = f"{name}: anomaly map of {method.label}"
        shown.append(Picture("map", alt, pictures.data_uri(drawn.heat[index]), outlined=True))
        row = method.images[method.images["name"] == name].iloc[0]
        groups.append(Group(method.label, index, shown, *image_scores(row)))
    border = "" if drawn.truth is None else pictures.outline(drawn.truth)
    return Entry(name, f"pictures/{quote(name)}.png", drawn.observed.size, border, groups)


def image_scores(row: pd.Series) -> tuple[str, str]:
    """The number that the gallery is sorted by, and the others."""
    values = {key: float(row.get(key, math.nan)) for key in ("score", "pixel_auroc", *IMAGE_SCORES)}
    score = f"score {significant(values['score'])}"
    others = [text(values[key]) for key, text in IMAGE_SCORES.items() if math.isfinite(values[key])]
    if math.isfinite(values["pixel_auroc"]):
        return f"AUROC {fixed(3)(values['pixel_auroc'])}", together([score, *others])
    return score, together(others)


def together(texts: list[str]) -> str:
    """One line that breaks between the texts only."""
    return " · ".join(text.replace(" ", "\u00a0") for text in texts)


def sentence(methods: list[MethodResults], size: tuple[int, int], truths: list[bool | None]) -> str:
    """What was run, on what."""
    labels = [method.label for method in methods]
    subject = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
    categories = ", ".join(sorted({*methods[-1].images.get("category", [])} - {""}))
    counts = [
        (truths.count(True), "with a known corruption"),
        (truths.count(False), "without corruption"),
        (truths.count(None), "without a known truth"),
    ]
    every = "" if len(truths) == 1 else "all "
    parts = [f"{count} {what}" if count < len(truths) else f"{every}{what}" for count, what in counts if count]
    images = "1 image" if len(truths) == 1 else f"{len(truths)} images"
    verb = "was" if len(labels) == 1 else "were"
    of = f" of {categories}" if categories else ""
    pixels = f"{size[0]} \u00d7 {size[1]} pixels"
    return f"{subject} {verb} run on {images}{of}, {pixels}{': ' if len(parts) > 1 else ', '}{', '.join(parts)}."


def template(name: str) -> jinja2.Template:
    """A page's template, which lies beside this file."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    rules = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rules.globals |= {
        "places": PLACES,
        "percentile": pictures.PERCENTILE,
        "gradient": pictures.gradient(),
        "short": significant,
    }
    return rules.get_template(name)
