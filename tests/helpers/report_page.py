"""Small results of methods, and a parser for the report page."""

import base64
import io
import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from rgi.report.page import MethodResults, write_report

NAN = math.nan


class Page(HTMLParser):
    """Elements, links and text of a page before its script runs, and the data of its gallery."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags, self.sources, self.links, self.ids, self.words = [], [], [], [], []
        self.data = {}
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.sources += [attributes["src"]] if "src" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.ids += [attributes["id"]] if "id" in attributes else []

    def handle_data(self, data):
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if self.cdata_elem is None:
            self.words.append(data)
        elif tag == "script" and attributes.get("type") == "application/json":
            self.data = json.loads(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def failures_first(self):
        """Names of the images in the order of the gallery."""
        return [name for _, name in sorted(zip(self.data["failure"][-1], self.data["names"], strict=True))]

    def roles(self, name):
        """What the pictures of an image show."""
        look = self.data["looks"][self.data["look"][self.data["names"].index(name)]]
        return [(panel["role"], panel["method"]) for panel in look["panels"]]

    def picture(self, name, role, method=None):
        """Pixels of a picture inside the page."""
        source = self.data["sources"][self.data["names"].index(name)][self.roles(name).index((role, method))]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def image(name, auroc=NAN, score=0.0, **others):
    """A row of per_image.csv."""
    kind = name.rpartition("/")[0]
    return {"method": "m", "name": name, "category": "brick", "kind": kind, "score": score, "objective": 1.0,
            "iterations": 5, "seconds": 0.25, "pixel_auroc": auroc} | others  # fmt: skip


def make_results(
    folder, method, rows, size=(16, 16), channels=1, truth=True, clean=True, metrics=None, drop=(), seed=0
):
    """Write the arrays of one image per row to ``folder/method``, without the arrays in ``drop``.

    The pixels of an image are the same for all methods.
    """
    for each in rows:
        random = np.random.default_rng([seed, *each["name"].encode()])
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
    """Results of a method with files in ``folder/method``."""
    return MethodResults(method, metrics or {}, pd.DataFrame(rows), folder / method)


def report(tmp_path, methods, **options):
    """Write a report to ``tmp_path/report`` and parse its page."""
    return Page(write_report(tmp_path / "report", "Title", methods, "seed: 0\n", **options))
