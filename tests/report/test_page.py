"""Report page: texts, pictures, data of the gallery, and no external files."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import skimage
from helpers.report_page import NAN, Page, image, make_results, report, results_of
from PIL import Image

from rgi.errors import InputError
from rgi.report import page as page_module
from rgi.report import pictures
from rgi.report.formats import MISSING
from rgi.report.page import write_report

ROWS = [
    image("crack/a", 0.9),
    image("good/b", score=0.2),
    image("hole/c", 0.4),
    image("crack/d", 0.7),
    image("good/e", score=0.6),
]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    others = [each | {"pixel_auroc": each["pixel_auroc"] / 2} for each in ROWS]
    methods = [make_results(folder, "anogan", others), make_results(folder, "r_rgi", ROWS)]
    return folder / "report", report(
        folder, methods, subtitle="Below", environment={"command": "python run.py experiment=demo"}
    )


def test_the_page_has_no_external_resources(two):
    _, page = two
    assert not page.sources
    assert all(source.startswith("data:image/") for sources in page.data["sources"] for source in sources)
    outside = [link for link in page.links if not link.startswith(("#", "pictures/"))]
    assert outside == ["https://arxiv.org/abs/2302.12464"]
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\((?!#)", page.source)


def test_only_the_script_of_the_page_runs(two):
    """The policy names the hash of the script, and allows no request."""
    _, page = two
    (policy,) = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src 'self' file: data:;")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_links_within_the_page_have_a_target(two):
    _, page = two
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_each_image_has_a_strip_of_all_panels(two):
    folder, _ = two
    for each in ROWS:
        with Image.open(folder / "pictures" / f"{each['name']}.png") as strip:
            strip.load()
            assert strip.width > 7 * 192  # 7 panels of 16 pixels, enlarged 12 times
            assert strip.height > 192


def test_embedded_pictures_have_the_pixels_of_the_array(tmp_path):
    results = make_results(tmp_path, "rgi", [image("a")], channels=3, size=(9, 14))
    shown = report(tmp_path, [results]).picture("a", "observed").astype(float)
    with np.load(results.results / "a.npz") as arrays:
        expected = skimage.util.img_as_ubyte((arrays["observed"].clip(-1, 1).transpose(1, 2, 0) + 1) / 2)
    assert shown.shape == (9, 14, 3)
    assert np.abs(shown - expected).max() <= 1


def test_the_page_names_methods_images_and_command(two):
    _, page = two
    assert "AnoGAN and R-RGI were run on 5 images of brick, 16 \u00d7 16 pixels: 3 with a known corruption" in page.text
    for words in ("Below", "python run.py experiment=demo", "seed: 0", "2 images are not in this table"):
        assert words in page.text


def test_the_page_shows_what_each_method_ran_with(tmp_path):
    methods = [make_results(tmp_path, name, [image("a")]) for name in ("rgi", "pca")]
    settings = {"device": "cpu", "seed": 4, "mask_penalty": 0.0123456, "precision": "float32", "other_fact": "<yes>"}
    methods[0].settings.update(settings)
    page = report(tmp_path, methods)
    assert "Resolved settings What each method ran with." in page.text
    rows = {
        "λ": "0.0123456",
        "Precision of the networks": "float32",
        "Seed": "4",
        "Device": "cpu",
        "other fact": "<yes>",
    }
    assert "Setting RGI PCA " + " ".join(f"{name} {text} {MISSING}" for name, text in rows.items()) in page.text


def test_without_settings_the_page_has_no_table_of_them(two):
    assert "Resolved settings" not in two[1].text


def test_names_and_texts_are_escaped(tmp_path):
    name = "<script>alert(1)</script> & \"x\" 'y'/" + "long" * 50 + "%41#?"
    results = make_results(tmp_path, "<i>", [image(name, 0.5)])
    target = write_report(tmp_path / "report", "<b>T</b>", [results], "a: </pre><script>", "<u>", {"command": "<s>"})
    page = Page(target)
    assert not {"u", "i", "b", "s"} & {tag for tag, attributes in page.tags if not attributes}
    assert page.source.count("<script") == 2
    assert page.data["names"] == [name]
    assert "<b>T</b>" in page.text
    assert (tmp_path / "report/pictures" / f"{name}.png").is_file()


def test_metrics_without_a_finite_value_are_only_named(tmp_path):
    metrics = {"pixel_auroc": NAN, "psnr": NAN, "seconds_per_image": 0.123456, "pixel_auroc_error": NAN}
    page = report(tmp_path, [make_results(tmp_path, "rgi", [image("a")], truth=False, metrics=metrics)])
    assert "Not defined for these images: Pixel AUROC, PSNR (dB)." in page.text
    assert "0.123" in page.text
    assert "nan" not in page.text.lower().replace("anogan", "")
    assert "NaN" not in str(page.data)


def test_the_legend_has_the_scale_of_the_heat_maps(tmp_path):
    rows = [image("faint"), image("strong")]
    results = make_results(tmp_path, "rgi", rows, drop=("map",))
    for name, level in (("faint", 0.1), ("strong", 0.4)):
        with np.load(results.results / f"{name}.npz") as file:
            arrays = dict(file)
        np.savez(results.results / f"{name}.npz", **arrays, map=np.full((16, 16), level))
    page = report(tmp_path, [results])
    assert "RGI 0 0.400" in page.text
    assert [np.unique(page.picture(name, "map", 0)).tolist() for name in ("faint", "strong")] == [[64], [255]]


@pytest.mark.parametrize(
    "options",
    [
        {"truth": False, "clean": False},
        {"clean": False},
        {"channels": 3, "size": (128, 128)},
        {"channels": 3, "size": (12, 40)},
        {"size": (300, 7), "truth": False},
        {"metrics": {}},
        {"drop": ("history",)},
        {"drop": ("restored",)},
    ],
)
def test_results_may_lack_optional_arrays(tmp_path, options):
    rows = [image("b", 0.5 if options.get("truth", True) else NAN, psnr=20.0, ssim=NAN)]
    page = report(tmp_path, [make_results(tmp_path, "r_rgi", rows, **options)])
    assert page.data["names"] == ["b"]
    assert ("Convergence" in page.text) == ("history" not in options.get("drop", ()))
    assert ("Show the outline of the true mask" in page.text) == options.get("truth", True)
    roles = {role for role, _ in page.roles("b")}
    assert ("clean" in roles) == options.get("clean", True)
    assert ("truth" in roles) == options.get("truth", True)
    assert ("restored" in roles) == ("restored" not in options.get("drop", ()))
    assert {"label": "PSNR", "values": [[20.0]]}.items() <= next(
        number for number in page.data["numbers"] if number["label"] == "PSNR"
    ).items()
    assert "By kind" not in page.text
    assert ("ROC, pixels" in page.text) == options.get("truth", True)


def test_rows_may_have_only_a_name(tmp_path):
    make_results(tmp_path, "padim", [image("a")], truth=False)
    page = report(tmp_path, [results_of("padim", [{"name": "a"}], folder=tmp_path)])
    assert "PaDiM was run on 1 image, 16 \u00d7 16 pixels, without a true mask." in page.text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(scheme):
    source = (Path(page_module.__file__).parent / "style.html").read_text(encoding="utf-8")
    block = source.split(":root {")[1 if scheme == "light" else 2].split("}")[0]
    colours = dict(re.findall(r"--(\w+): #([0-9a-f]{6})\b", block))

    def luminance(name):
        part = np.array([int(colours[name][i : i + 2], 16) for i in (0, 2, 4)]) / 255
        return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    pairs = [(text, paper) for text in ("ink", "soft", "accent", "alarm") for paper in ("paper", "card")]
    for text, paper in [*pairs, ("ink", "best")]:
        bright, dim = sorted((luminance(text), luminance(paper)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, paper)


def test_bad_input_is_refused_without_writing_files(tmp_path):
    good = make_results(tmp_path, "rgi", ROWS)
    elsewhere = make_results(tmp_path, "pca", [image("x")])
    larger = make_results(tmp_path, "padim", ROWS, size=(16, 32))
    another = make_results(tmp_path, "anogan", ROWS, seed=1)
    no_map = make_results(tmp_path, "yeh", ROWS, drop=("map",))
    broken = make_results(tmp_path, "pan", ROWS)
    (tmp_path / "pan/crack/d.npz").write_bytes(b"PK no archive")
    for methods, words in [
        ([], "no runs"),
        ([results_of("rgi", [])], "rgi has no images"),
        ([good, elsewhere], f"PCA of {tmp_path / 'pca'} shares no image with RGI of {tmp_path / 'rgi'}; name runs"),
        ([good, larger], f"{tmp_path / 'padim'} have different images called crack/a (1x16x16 and 1x16x32); name runs"),
        ([good, another], f"{tmp_path / 'anogan'} have different images called crack/a; name runs over the same"),
        ([results_of("rgi", ROWS + ROWS[:1])], "same name"),
        ([results_of("rgi", [image("../x")])], "../x leads out"),
        ([results_of("rgi", ROWS, folder=tmp_path / "nowhere")], "nowhere/rgi/crack/a.npz: missing"),
        ([good, no_map], "crack/a.npz: has no array 'map'"),
        ([good, broken], "crack/d.npz: is not a result file"),
    ]:
        with pytest.raises(InputError, match=re.escape(words)):
            write_report(tmp_path / "report", "Title", methods, "")
    assert not (tmp_path / "report").exists()


def test_runs_with_some_images_in_common(tmp_path):
    """Pictures of the common images only; no score is marked, because the scores are over different images."""
    first = make_results(tmp_path, "rgi", ROWS, metrics={"pixel_auroc": 0.8, "images": 5})
    second = make_results(tmp_path, "pca", ROWS[3:], metrics={"pixel_auroc": 0.9, "images": 2})
    page = report(tmp_path, [first, second])
    assert page.data["names"] == ["crack/d", "good/e"]
    assert [number["values"] for number in page.data["numbers"] if number["label"] == "Score"] == [[[0, 0.6]] * 2]
    assert (
        "The runs have different test images. Pictures, curves and the table by kind are over the 2 images" in page.text
    )
    assert "Pixel AUROC ↑ (higher is better) 0.800 0.900" in page.text
    same = make_results(tmp_path, "padim", ROWS, metrics={"pixel_auroc": 0.9})
    assert "Pixel AUROC ↑ (higher is better) 0.800 0.900 (best)" in report(tmp_path, [first, same]).text


def test_pictures_of_a_large_report_stay_in_their_folder(tmp_path, monkeypatch):
    """And the page says where each picture is in the strip of its image."""
    monkeypatch.setattr(page_module, "EMBEDDED", 10_000)
    results = make_results(tmp_path, "rgi", ROWS)
    page = report(tmp_path, [results])
    assert page.data["sources"] is None
    assert "data:image" not in page.source
    assert "The pictures are in the folder" in page.text
    (look,) = page.data["looks"]
    for each in ROWS:
        with Image.open(tmp_path / "report/pictures" / f"{each['name']}.png") as strip:
            assert strip.size == tuple(look["strip"])
            place = page.roles(each["name"]).index(("observed", None))
            left, top = look["panels"][place]["corner"]
            found = np.asarray(strip.convert("L"))[top : top + 16 * look["factor"], left : left + 16 * look["factor"]]
        with np.load(results.results / f"{each['name']}.npz") as arrays:
            expected = pictures.to_picture(arrays["observed"])
        assert np.array_equal(found[:: look["factor"], :: look["factor"]], np.asarray(expected))


def test_the_gallery_has_the_failures_first(two):
    """The worst defective image, the clean image with the highest score, and so on."""
    _, page = two
    assert page.failures_first() == ["hole/c", "good/e", "crack/d", "good/b", "crack/a"]
