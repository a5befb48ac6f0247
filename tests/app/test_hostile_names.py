"""Names of files and folders that are HTML, templates, links or formulas: they are shown and linked, and do nothing."""

import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from helpers.browser import BROWSER, Browser
from helpers.command_line import in_process
from helpers.report_page import Page
from helpers.tiny_sets import write_generator
from PIL import Image

HACK = "document.title='hacked'"
NAMES = [
    f"<img src=x onerror={HACK}>",
    f"\"'><svg onload={HACK}>",
    f"<script>{HACK}<!--",
    "{{7*7}}{% raw %}",
    "100% & #1?a=b c+d%20",
    "日本語 é 😀",
    "two\nlines",
    "javascript:alert(1)",
    '=HYPERLINK("http:x")',
    "@SUM(A1)",
    "-1",
    "back\\slash",
]
KIND = '"><b onclick=x>{{7*7}}'
CATEGORY = f'"><script>{HACK}<!-- {{{{7*7}}}} {{% raw %}}'


def run(home: Path, folder: str, names: list[str], kind: str, category: str, monkeypatch) -> Path:
    """Invert one image of each name, with masks; returns the folder of the run."""
    root, masks = home / folder / "root" / kind, home / folder / "masks" / kind
    random, mask = np.random.default_rng(0), np.zeros((40, 40), np.uint8)
    mask[:10] = 255
    for place in (root, masks):
        place.mkdir(parents=True)
    for name in names:
        Image.fromarray(random.integers(0, 256, (40, 40), np.uint8)).save(root / f"{name}.png")
        Image.fromarray(mask).save(masks / f"{name}.png")
    data = [f"dataset.{option}={home / folder / option}" for option in ("root", "masks")]
    quoted = "'" + category.replace("'", "\\'") + "'"
    small = ["dataset.resolution=32", "dataset.channels=1", "solver.iterations=1", "solver.pool_size=4"]
    gan, output = home / "gan.safetensors", home / folder / "run"
    options = [*data, *small, f"dataset.category={quoted}", f"generator.path={gan}", f"output_dir={output}"]
    assert in_process(monkeypatch, "experiment=folder_rgi", "trainer.accelerator=cpu", *options) == 0
    return output


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """The folders of two runs on the same pixels, with hostile and with plain names."""
    home = tmp_path_factory.mktemp("hostile")
    write_generator(home / "gan.safetensors", resolution=32)
    plain = [f"{number}" for number in range(len(NAMES))]
    with pytest.MonkeyPatch.context() as patch:
        return {
            "hostile": run(home, "hostile", NAMES, KIND, CATEGORY, patch),
            "plain": run(home, "plain", plain, "kind", "category", patch),
        }


def test_the_page_has_names_as_text_and_as_data(runs):
    hostile, plain = (Page(runs[kind] / "report.html") for kind in ("hostile", "plain"))
    kinds = [{(tag, name) for tag, attributes in page.tags for name in ("", *attributes)} for page in (hostile, plain)]
    assert kinds[0] == kinds[1]
    assert not [link for link in hostile.links if not link.startswith(("#", "pictures/", "https://arxiv"))]
    for text in (KIND, CATEGORY):
        assert " ".join(text.split()) in hostile.text
    assert sorted(hostile.data["names"]) == sorted(f"{KIND}/{name}" for name in NAMES)


def test_the_table_keeps_names(runs, monkeypatch):
    """A formula stays as it is, because the name is that of the image. The report can be made again from the table."""
    table = pd.read_csv(runs["hostile"] / "per_image.csv", keep_default_na=False)
    assert sorted(table["name"]) == sorted(f"{KIND}/{name}" for name in NAMES)
    assert set(table["category"]) == {CATEGORY}
    page = runs["hostile"] / "report.html"
    before = Page(page)
    page.unlink()
    assert in_process(monkeypatch, "task=report", f"run={runs['hostile']}") == 0
    assert (Page(page).text, Page(page).data) == (before.text, before.data)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
def test_a_browser_runs_nothing_and_finds_all_pictures(runs, tmp_path):
    page = runs["hostile"] / "report.html"
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(page)
        assert browser.run("document.title") == "folder_rgi"
        links = "[...document.querySelectorAll('#cards h3 a')]"
        found = dict(browser.run(f"{links}.map((link) => [link.textContent, link.getAttribute('href')])"))
        assert {unquote(link) for link in found.values()} == {f"pictures/{name}.png" for name in found}
        assert sorted(found) == sorted(f"{KIND}/{name}" for name in NAMES)
        loaded = f"Promise.all({json.dumps([*found.values()])}.map((link) => " + (
            "Object.assign(new Image(), { src: link }).decode().then(() => true)))"
        )
        assert browser.run(loaded) == [True] * len(NAMES)
        assert not browser.complaints
    finally:
        browser.close()
