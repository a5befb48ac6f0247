"""What a report has to know of all images before it can draw the first: scales, curves, histories, and true masks."""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from rgi.errors import InputError
from rgi.evaluation.results import Result, load_result
from rgi.report.histogram import Histogram
from rgi.report.methods import MethodResults

PROGRESS = {"unit": "image", "delay": 3, "mininterval": 1}  # a short report shows no bar
REMEDY = "name runs over the same images"
SAME = 2 / 255  # highest difference of two images in [-1,1] that count as the same: one step of 8 bits


@dataclass(frozen=True)
class Survey:
    """Facts about the images of a report.

    Attributes:
        histograms: anomaly values of each method.
        histories: for each method, the objective per iteration (T,) of each image that has one.
        truths: for each image, whether its true mask has corrupted pixels; None without a true mask.
        size: width and height of all images; None if they have several sizes.
    """

    histograms: list[Histogram]
    histories: list[list[np.ndarray]]
    truths: list[bool | None]
    size: tuple[int, int] | None


def survey(methods: list[MethodResults]) -> Survey:
    """Read the arrays of all images once, one image at a time.

    Args:
        methods: results of the methods, with the same images.

    Raises:
        InputError: a results file is missing, cannot be read or lacks a required array, or images of the same name
            have different pixels.
    """
    histograms, truths, sizes = [Histogram() for _ in methods], [], set()
    histories: list[list[np.ndarray]] = [[] for _ in methods]
    for name in tqdm(methods[-1].images["name"], desc="report: reading", **PROGRESS):
        wanted = ("observed", "map"), ("truth", "history", "counted")
        results = [load_result(each.results, name, *wanted) for each in methods]
        _check_same_image(methods, name, results)
        truth = next((each["truth"][0] > 0.5 for each in results if "truth" in each), None)
        truths.append(None if truth is None else bool(truth.any()))
        sizes.add(results[0]["observed"].shape[:0:-1])
        for index, result in enumerate(results):
            inside = result["counted"][0] != 0 if "counted" in result else True
            histograms[index].add(np.where(inside, result["map"], np.nan), truth)  # NaN is left out
            if "history" in result:
                histories[index].append(result["history"])
    return Survey(histograms, histories, truths, sizes.pop() if len(sizes) == 1 else None)


def _check_same_image(methods: list[MethodResults], name: str, results: list[Result]) -> None:
    """Raise an error if an image of this name is another one for another method."""
    first = results[0]["observed"]
    for method, result in zip(methods[1:], results[1:], strict=True):
        other, both = result["observed"], f"{methods[0].results} and {method.results}"
        if other.shape != first.shape:
            shapes = " and ".join("x".join(map(str, each.shape)) for each in (first, other))
            raise InputError(f"report: {both} have different images called {name} ({shapes}); {REMEDY}")
        if not np.abs(np.subtract(other, first, dtype=np.float32)).max() <= SAME:
            raise InputError(f"report: {both} have different images called {name}; {REMEDY}")
