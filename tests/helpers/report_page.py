"""Small results of methods, and the page that a report makes of them."""

import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd

from rgi.report.page import MethodResults, write_report

NAN = math.nan


class Page(HTMLParser):
    """Elements, links and visible text of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags, self.sources, self.links, self.ids, self.alts, self.words = [], [], [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.sources += [found["src"]] if "src" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.ids += [found["id"]] if "id" in found else []
        if tag == "img":
            self.alts.append(found["alt"])

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split()).replace("\u00a0", " ")

    def observed(self):
        """Names in the gallery's order, without the typical image above it."""
        return [alt.removesuffix(": observed") for alt in self.alts if alt.endswith(": observed")][1:]


def image(name, auroc=NAN, score=0.0, **others):
    """A row of the table of images."""
    kind = name.rpartition("/")[0]
    return {"method": "m", "name": name, "category": "brick", "kind": kind, "score": score, "objective": 1.0,
            "iterations": 5, "seconds": 0.25, "pixel_auroc": auroc} | others  # fmt: skip


def make_results(folder, method, rows, size=(16, 16), channels=1, truth=True, clean=True, metrics=None, drop=()):
    """Write an image's arrays per row, but those to ``drop``, to ``folder/method``."""
    random = np.random.default_rng(len(method))
    for each in rows:
        pixels = random.uniform(-1.2, 1.2, (channels, *size)).astype(np.float32)
        history = np.concatenate([np.geomspace(100, 10, 4), [NAN, NAN]])
        arrays = {"observed": pixels, "restored": pixels * 0.9, "map": np.abs(pixels[0]), "history": history}
        if truth:
            region = np.zeros((1, *size), np.float32)
            region[:, 3:8, 2:6] = math.isfinite(each["pixel_auroc"])
            arrays["truth"] = region
        if clean:
            arrays["clean"] = pixels
        path = folder / method / f"{each['name']}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: array for key, array in arrays.items() if key not in drop})
    return results_of(method, rows, {"pixel_auroc": 0.9} if metrics is None else metrics, folder)


def results_of(method, rows, metrics=None, folder=Path()):
    """Of a method whose files, if they are read, lie in ``folder/method``."""
    return MethodResults(method, metrics or {}, pd.DataFrame(rows), folder / method)


def report(tmp_path, methods, **options):
    """The page of a report in ``tmp_path/report``."""
    return Page(write_report(tmp_path / "report", "Title", methods, "seed: 0\n", **options))
