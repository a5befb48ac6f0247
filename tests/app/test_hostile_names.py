"""Names of files and folders that are HTML, templates, links or formulas: they are shown and linked, and do nothing."""

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import in_process
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
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


class Structure(HTMLParser):
    """The kinds of elements of a page with their attributes, and all links and texts."""

    def __init__(self, page: Path):
        super().__init__()
        self.kinds, self.links, self.texts = set(), [], []
        self.feed(page.read_text(encoding="utf-8"))
        self.text = " ".join("".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.kinds |= {(tag, name) for name, _ in [*attributes, ("", "")]}
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        self.texts.append(data)


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


def test_the_page_shows_names_as_text(runs):
    hostile, plain = (Structure(runs[kind] / "report.html") for kind in ("hostile", "plain"))
    assert hostile.kinds == plain.kinds
    assert not [
        link for link in hostile.links if not link.startswith(("#", "data:image/", "pictures/", "https://arxiv"))
    ]
    for text in (*NAMES, KIND, CATEGORY):
        assert " ".join(text.split()) in hostile.text


def test_every_picture_is_linked(runs):
    links = [link for link in Structure(runs["hostile"] / "report.html").links if link.startswith("pictures/")]
    assert sorted(map(unquote, links)) == sorted(f"pictures/{KIND}/{name}.png" for name in NAMES)
    assert all((runs["hostile"] / unquote(link)).is_file() for link in links)


def test_the_table_keeps_names(runs, monkeypatch):
    """A formula stays as it is, because the name is that of the image. The report can be made again from the table."""
    table = pd.read_csv(runs["hostile"] / "per_image.csv", keep_default_na=False)
    assert sorted(table["name"]) == sorted(f"{KIND}/{name}" for name in NAMES)
    assert set(table["category"]) == {CATEGORY}
    page = runs["hostile"] / "report.html"
    before = Structure(page).text
    page.unlink()
    assert in_process(monkeypatch, "task=report", f"run={runs['hostile']}") == 0
    assert Structure(page).text == before


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
def test_a_browser_runs_nothing_and_finds_all_pictures(runs, tmp_path):
    def title(page: Path) -> str:
        switches = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        command = [BROWSER, *switches, "--dump-dom", page.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return html.unescape(re.search(r"<title>(.*?)</title>", shown).group(1))

    page = runs["hostile"] / "report.html"
    assert title(page) == "folder_rgi"
    links = [link for link in Structure(page).links if link.startswith("pictures/")]
    pictures = "".join(f'<img src="{html.escape(link)}">' for link in links)
    counting = "onload = () => document.title = [...document.images].filter(image => image.naturalWidth > 0).length"
    check = page.with_name("check.html")
    check.write_text(f"<!doctype html><meta charset=utf-8><title></title>{pictures}<script>{counting}</script>")
    assert title(check) == str(len(NAMES))
