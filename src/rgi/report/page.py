"""Report page: an HTML page about the results of one or more methods on the same images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from rgi.evaluation.results import load_result
from rgi.report import pictures
from rgi.report.curves import convergence
from rgi.report.formats import significant
from rgi.report.gallery import Shown, defects, gallery_data, shown
from rgi.report.methods import MethodResults, check_methods, with_shared_images
from rgi.report.pictures import Panel
from rgi.report.rates import Plot, image_levels, rate_plots
from rgi.report.sections import score_sections
from rgi.report.settings import settings_table
from rgi.report.survey import PROGRESS, Survey, survey
from rgi.report.tables import binning_errors, kind_table, table_keys
from rgi.report.templates import load_template

__all__ = ["MethodResults", "write_report"]
EMBEDDED = 5_000_000  # highest number of characters of all pictures inside the page


def write_report(
    folder: Path,
    title: str,
    methods: list[MethodResults],
    config_yaml: str,
    subtitle: str = "",
    environment: dict[str, str] | None = None,
) -> Path:
    """Write ``folder/report.html``, and one picture ``folder/pictures/<name>.png`` per image.

    The page holds all pictures if they take at most `EMBEDDED` characters. Otherwise, it loads those in view from the
    folder of pictures.

    The function reads the arrays of each image from ``<name>.npz`` in the results folder of each method: observed
    (C,H,W) and restored (C,H,W) with clean values in [-1,1]; map (H,W) >= 0, the scored anomaly map; history (T,), the
    objective per iteration, NaN after the image has settled; truth (1,H,W) in [0,1], the true mask; and clean (C,H,W).
    Only observed and map are required. At any time, the arrays of one image are in memory.

    Args:
        folder: folder of the page and the pictures.
        title: heading of the page.
        methods: results of the methods. The page shows the images that all methods have.
        config_yaml: configuration of the run for the page.
        subtitle: text below the heading.
        environment: command and versions of the run for the page, by name.

    Returns:
        Path of the page.

    Raises:
        InputError: there is no method or no image, the methods share no image, an image name leads out of the folder, a
            results file is missing, cannot be read or lacks a required array, or images of the same name have different
            pixels.
    """
    check_methods(methods)
    methods, same_images = with_shared_images(methods)
    found = survey(methods)
    scales = [histogram.scale(pictures.PERCENTILE) for histogram in found.histograms]
    folder = Path(folder)
    drawn = draw(folder / "pictures", methods, scales)
    defective = defects(methods[-1].images, found.truths)
    target = folder / "report.html"
    page = load_template("page.html").render(
        **table_variables(methods, same_images),
        title=title,
        subtitle=subtitle,
        summary=run_summary(methods, found.size, found.truths),
        same_images=same_images,
        plots=rate_figures(methods, found, defective),
        convergence=convergence([each.label for each in methods], found.histories),
        scales=[significant(scale) for scale in scales],
        data=gallery_data(methods, defective, drawn),
        outlined=any(found.truths),
        config_yaml=config_yaml,
        environment=list((environment or {}).items()),
    )
    target.write_text(page, encoding="utf-8")
    return target


def table_variables(methods: list[MethodResults], same_images: bool) -> dict[str, Any]:
    """Template variables of the tables and their notes."""
    scores, cost, undefined = score_sections(methods, same_images)
    kinds, skipped = kind_table(methods)
    keys = table_keys({key: None for method in methods for key in method.metrics})
    return {
        "methods": methods,
        "scores": scores,
        "cost": cost,
        "binning_errors": binning_errors(methods, keys),
        "undefined": undefined,
        "kinds": kinds,
        "skipped": skipped,
        "settings": settings_table(methods),
        "notes": list(dict.fromkeys(each.settings["note"] for each in methods if "note" in each.settings)),
    }


def draw(folder: Path, methods: list[MethodResults], scales: list[float]) -> list[Shown]:
    """Write the strip of each image.

    Args:
        folder: folder of the strips.
        methods: results of the methods, with the same images.
        scales: scale of the heat maps of each method.

    Returns:
        For each image its pictures as the page shows them.
    """
    described: list[Shown] = []
    budget = EMBEDDED
    for name in tqdm(methods[-1].images["name"], desc="report: pictures", **PROGRESS):
        panels = image_panels(methods, name, scales)
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.strip(panels).save(path, compress_level=2)
        sources = [pictures.data_uri(panel.image) for panel in panels] if budget >= 0 else []
        budget -= sum(map(len, sources))
        described.append(shown(panels, sources))
    return described if budget >= 0 else [replace(each, sources=None) for each in described]


def image_panels(methods: list[MethodResults], name: str, scales: list[float]) -> list[Panel]:
    """Pictures of an image: as observed, as each method restored it with its heat map, clean, and the true mask."""
    results = [load_result(each.results, name, ("observed", "map"), ("restored", "clean", "truth")) for each in methods]
    panels = [Panel("observed", None, "observed", pictures.to_picture(results[0]["observed"]))]
    for index, (method, result, scale) in enumerate(zip(methods, results, scales, strict=True)):
        if "restored" in result:
            restored = pictures.to_picture(result["restored"])
            panels.append(Panel("restored", index, f"{method.label}: restored", restored))
        panels.append(Panel("map", index, f"{method.label}: map", pictures.heatmap(result["map"], scale)))
    clean, truth = (next((each[key] for each in results if key in each), None) for key in ("clean", "truth"))
    if clean is not None:
        panels.append(Panel("clean", None, "clean", pictures.to_picture(clean)))
    if truth is not None:
        panels.append(Panel("truth", None, "true mask", Image.fromarray(truth[0] > 0.5)))
    return panels


def rate_figures(methods: list[MethodResults], found: Survey, defective: list[bool | None]) -> list[Plot]:
    """ROC and precision-recall curves of pixels, and of images if the methods have image scores."""
    plots = rate_plots("pixels", [histogram.levels() for histogram in found.histograms])
    if all("score" in method.images for method in methods):
        levels = [image_levels(method.images["score"].to_numpy(float), defective) for method in methods]
        plots += rate_plots("images", levels)
    return plots


def run_summary(methods: list[MethodResults], size: tuple[int, int] | None, truths: list[bool | None]) -> str:
    """Sentence with the methods and the images of a run.

    Args:
        methods: results of the methods.
        size: width and height of an image in pixels; None for several sizes.
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
    pixels = "of several sizes" if size is None else f"{size[0]} \u00d7 {size[1]} pixels"
    return f"{subject} {verb} run on {images}{of}, {pixels}{': ' if len(parts) > 1 else ', '}{', '.join(parts)}."
