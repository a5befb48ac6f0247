"""The report: what the page says and shows, in which order, and that it needs nothing but itself."""

import base64
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from rgi.errors import InputError
from rgi.report import curves, gallery, pictures, tables
from rgi.report.page import Run, write_report

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


def row(name, auroc=NAN, score=0.0, **others):
    kind = name.rpartition("/")[0]
    return {"method": "m", "name": name, "category": "brick", "kind": kind, "score": score, "objective": 1.0,
            "iterations": 5, "seconds": 0.25, "pixel_auroc": auroc} | others  # fmt: skip


def make_run(folder, method, rows, size=(16, 16), channels=1, truth=True, clean=True, metrics=None, drop=()):
    random = np.random.default_rng(len(method))
    for each in rows:
        image = random.uniform(-1.2, 1.2, (channels, *size)).astype(np.float32)
        history = np.concatenate([np.geomspace(100, 10, 4), [NAN, NAN]])
        arrays = {"observed": image, "restored": image * 0.9, "map": np.abs(image[0]), "history": history}
        if truth:
            region = np.zeros((1, *size), np.float32)
            region[:, 3:8, 2:6] = math.isfinite(each["pixel_auroc"])
            arrays["truth"] = region
        if clean:
            arrays["clean"] = image
        path = folder / method / f"{each['name']}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: array for key, array in arrays.items() if key not in drop})
    return Run(method, {"pixel_auroc": 0.9} if metrics is None else metrics, rows, folder / method)


def report(tmp_path, runs, **options):
    return Page(write_report(tmp_path / "report", "Title", runs, "seed: 0\n", **options))


ROWS = [
    row("crack/a", 0.9),
    row("good/b", score=0.2),
    row("hole/c", 0.4),
    row("crack/d", 0.7),
    row("good/e", score=0.6),
]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    others = [each | {"pixel_auroc": each["pixel_auroc"] / 2} for each in ROWS]
    runs = [make_run(folder, "anogan", others), make_run(folder, "r_rgi", ROWS)]
    return folder / "report", report(
        folder, runs, subtitle="Below", environment={"command": "python run.py experiment=demo"}
    )


def test_needs_nothing_but_itself(two):
    _, page = two
    assert page.sources
    assert all(source.startswith("data:image/") for source in page.sources)
    outside = [link for link in page.links if not link.startswith(("#", "pictures/"))]
    assert outside == ["https://arxiv.org/abs/2302.12464"]
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"@import|url\(", page.source)


def test_every_reference_within_the_page_and_to_pictures_leads_somewhere(two):
    folder, page = two
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert all((folder / link).is_file() for link in page.links if link.startswith("pictures/"))


def test_every_image_has_a_strip_of_all_panels(two):
    folder, _ = two
    for each in ROWS:
        with Image.open(folder / "pictures" / f"{each['name']}.png") as strip:
            strip.load()
            assert strip.width > 7 * 192  # observed, two methods with two each, clean, truth: 16 px enlarged 12 times
            assert strip.height > 192


def test_embedded_photograph_shows_the_array(tmp_path):
    run = make_run(tmp_path, "rgi", [row("a")], channels=3, size=(9, 14))
    page = report(tmp_path, [run])
    source = page.sources[page.alts.index("a: observed")]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))), float)
    with np.load(run.results / "a.npz") as arrays:
        expected = skimage.util.img_as_ubyte((arrays["observed"].clip(-1, 1).transpose(1, 2, 0) + 1) / 2)
    assert shown.shape == (9, 14, 3)
    assert np.abs(shown - expected).max() <= 1


def test_gallery_goes_from_worst_to_best_then_by_descending_score(two):
    _, page = two
    assert page.observed() == ["hole/c", "crack/d", "crack/a", "good/e", "good/b"]


def test_says_what_was_run(two):
    _, page = two
    assert "AnoGAN and R-RGI were run on 5 images of brick, 16 \u00d7 16 pixels: 3 with a known corruption" in page.text
    for words in ("Below", "python run.py experiment=demo", "seed: 0", "2 images are not in this table"):
        assert words in page.text


def test_an_image_without_a_score_goes_last():
    assert gallery.ranked([row("a"), row("b", score=NAN), row("c", score=1.0)])[1] == ["c", "a", "b"]


def test_at_most_sixty_images_the_worst_and_the_best(tmp_path):
    rows = [row(f"{number:03d}", (number * 37 % 71) / 71) for number in range(71)] + [row("clean")]
    page = report(tmp_path, [make_run(tmp_path, "rgi", rows, size=(8, 8))])
    order = sorted(rows[:-1], key=lambda each: each["pixel_auroc"])
    assert page.observed() == [each["name"] for each in order[:30] + order[-30:]]
    assert "60 of 71 shown" in page.text
    assert "11 images in between are left out" in page.text
    assert len(list((tmp_path / "report/pictures").glob("*.png"))) == 72


def test_places_left_by_corrupted_images_show_the_extreme_clean_ones():
    rows = [row(f"bad{number}", 0.5) for number in range(50)] + [
        row(f"ok{number:02d}", score=-number) for number in range(30)
    ]
    first, second = gallery.gallery(rows)
    assert (len(first.head), first.left_out) == (50, 0)
    assert (second.head, second.left_out) == ([f"ok{number:02d}" for number in range(5)], 20)
    assert second.tail == [f"ok{number:02d}" for number in range(25, 30)]


def test_names_and_texts_are_escaped(tmp_path):
    name = "<script>alert(1)</script> & \"x\" 'y'/" + "long" * 50 + "%41#?"
    run = make_run(tmp_path, "<i>", [row(name, 0.5)])
    target = write_report(tmp_path / "report", "<b>T</b>", [run], "a: </pre><script>", "<u>", {"command": "<em>"})
    page = Page(target)
    assert not {"script", "u"} & set(page.tags)
    assert "<script" not in page.source
    assert name in page.text
    assert "<b>T</b>" in page.text
    assert (tmp_path / "report/pictures" / f"{name}.png").is_file()
    link = next(link for link in page.links if link.startswith("pictures/"))
    assert not set(link) & set("<>\"'#? &")


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("pixel_auroc", [0.8, 0.9, 0.7], [False, True, False]),
        ("pixel_auroc", [0.90001, 0.90004, 0.7], [True, True, False]),
        ("seconds_per_image", [2.0, 0.5, 0.5], [False, True, True]),
        ("best_f1_threshold", [0.1, 0.2, 0.3], [False, False, False]),
        ("images", [1, 2, 3], [False, False, False]),
        ("something_new", [1.0, 2.0, 3.0], [False, False, False]),
        ("psnr", [NAN, 20.0, 21.0], [False, False, True]),
        ("psnr", [NAN, NAN, 21.0], [False, False, False]),
        ("ssim", [0.5], [False]),
    ],
)
def test_best_is_marked(key, values, expected):
    runs = [Run(f"m{number}", {key: value}, [], Path()) for number, value in enumerate(values)]
    _, lines, _ = tables.score_table(runs)
    assert [line.cells[0].best for line in lines] == expected


def test_scores_that_nobody_has_are_named_instead(tmp_path):
    metrics = {"pixel_auroc": NAN, "psnr": NAN, "seconds_per_image": 0.123456, "pixel_auroc_error": NAN}
    page = report(tmp_path, [make_run(tmp_path, "rgi", [row("a")], truth=False, metrics=metrics)])
    assert "Not known for these images: Pixel AUROC, PSNR (dB)." in page.text
    assert "0.123" in page.text
    assert "nan" not in page.text.lower().replace("anogan", "")


def test_the_error_of_a_score_is_a_footnote_not_a_column():
    runs = [Run("rgi", {"pixel_auroc": 0.9, "pixel_auroc_error": error}, [], Path()) for error in (2e-7, 5e-6, NAN)]
    assert tables.score_table(runs)[0] == ["pixel_auroc"]
    assert tables.accuracies(runs, ["pixel_auroc"]) == [("Pixel AUROC", "5e-06")]


def test_kinds_average_images_that_every_method_has_a_number_for(tmp_path):
    first = [row("a/1", 0.5), row("a/2", 0.7), row("b/3", 0.2), row("b/4", 0.9), row("good/5")]
    second = [row("b/4", 0.8), row("a/1", 0.6), row("a/2", 0.8), row("b/3", NAN), row("good/5")]
    lines, skipped = tables.kind_table([Run("x", {}, first, tmp_path), Run("y", {}, second, tmp_path)])
    found = {line.label: (line.images, [cell.text for cell in line.cells]) for line in lines}
    assert found == {"a": (2, ["0.600", "0.700"]), "b": (1, ["0.900", "0.800"]), "all kinds": (3, ["0.700", "0.733"])}
    assert skipped == 2


def test_kinds_of_several_categories_stay_apart(tmp_path):
    rows = [row("a/1", 0.5), row("a/2", 0.7, category="grass")]
    lines, _ = tables.kind_table([Run("x", {}, rows, tmp_path)])
    assert [line.label for line in lines] == ["brick / a", "grass / a", "all kinds"]


def test_maps_of_a_method_share_one_scale():
    random = np.random.default_rng(0)
    maps = [random.gamma(2, factor, (20, 30)) for factor in (0.1, 1.0)]
    scale = pictures.heat_scale(maps)
    assert np.mean(np.stack(maps) > scale) == pytest.approx(0.005, abs=1e-3)
    levels = [np.asarray(pictures.heat(each, scale), float) for each in maps]
    for level, each in zip(levels, maps, strict=True):
        assert np.abs(level / 255 * scale - each.clip(0, scale)).max() <= scale / 255
    assert levels[0].max() < 255 == levels[1].max()


@pytest.mark.parametrize(
    ("anomaly_map", "expected"),
    [
        (np.zeros((40, 40)), 1.0),
        (np.pad([[3.0]], ((0, 39), (0, 39))), 3.0),
        (np.full((4, 4), NAN), 1.0),
        (np.array([[2.0, np.inf, NAN]]), 2.0),
    ],
)
def test_scale_of_sparse_and_broken_maps(anomaly_map, expected):
    assert pictures.heat_scale([anomaly_map]) == expected
    assert pictures.heat(anomaly_map, expected).size == anomaly_map.shape[::-1]


def test_the_page_states_the_scale_and_draws_with_it(tmp_path):
    rows = [row("faint"), row("strong")]
    run = make_run(tmp_path, "rgi", rows, drop=("map",))
    for name, level in (("faint", 0.1), ("strong", 0.4)):
        with np.load(run.results / f"{name}.npz") as file:
            arrays = dict(file)
        np.savez(run.results / f"{name}.npz", **arrays, map=np.full((16, 16), level))
    page = report(tmp_path, [run])
    assert "RGI 0 0.400" in page.text
    shown = {}
    for name in ("faint", "strong"):
        source = page.sources[page.alts.index(f"{name}: anomaly map of RGI")]
        shown[name] = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    assert (np.unique(shown["faint"]), np.unique(shown["strong"])) == ([64], [255])


def test_an_outline_encloses_exactly_the_region():
    truth = np.random.default_rng(1).random((11, 17)) < 0.5
    crossed = {"h": np.zeros((12, 17), int), "v": np.zeros((11, 18), int)}
    for x, y, way, length in re.findall(r"M(\d+) (\d+)([hv])(\d+)", pictures.outline(truth)):
        across, down = (int(length), 1) if way == "h" else (1, int(length))
        crossed[way][int(y) : int(y) + down, int(x) : int(x) + across] += 1
    # A pixel is inside if an odd number of borders lies between it and the image's edge, from the left and from above.
    assert np.array_equal(crossed["v"].cumsum(1)[:, :-1] % 2 == 1, truth)
    assert np.array_equal(crossed["h"].cumsum(0)[:-1] % 2 == 1, truth)
    assert pictures.outline(np.zeros((5, 5), bool)) == ""


def test_settled_images_keep_their_last_objective():
    histories = [np.array([8.0, 4, 2, 1, 0.5]), np.array([9.0, 5, NAN, NAN, NAN]), np.array([7.0, 6])]
    lower, median, upper = curves.quartiles(histories)
    assert median.tolist() == [8, 5, 5, 5, 5]
    assert np.all(lower <= median)
    assert np.all(median <= upper)
    assert curves.quartiles([np.array([NAN, NAN])]) is None
    assert curves.convergence(["a"], [[]]) is None


@pytest.mark.parametrize("offset", [0.5, -50.0])
@pytest.mark.parametrize("length", [2, 3, 9, 5000])
def test_curves_stay_within_their_axes(length, offset):
    falling = [np.geomspace(1e4, 1, length) + offset, np.full(max(2, length // 2), 30.0)]
    figure = curves.convergence(["a", "b"], [falling, [np.array([5.0])]])
    assert figure.logarithmic == (offset > 0)
    assert [curve.label for curve in figure.curves] == ["a"]
    numbers = [float(text) for text in re.findall(r"[\d.]+", figure.curves[0].line + figure.curves[0].band)]
    assert 0 <= min(numbers[1::2]) <= max(numbers[1::2]) <= curves.HEIGHT
    assert (min(numbers[::2]), max(numbers[::2])) == (0, curves.WIDTH)
    for ticks in (figure.x_ticks, figure.y_ticks):
        assert 2 <= len(ticks) <= 12
        assert all(0 <= at <= 100 for at, _ in ticks)
        assert len({text for _, text in ticks}) == len(ticks)


def test_an_objective_that_never_moves_is_drawn():
    assert curves.convergence(["a"], [[np.full(4, 3.0)]]).curves[0].last == 3.0


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
def test_works_with_what_is_there(tmp_path, options):
    rows = [row("b", 0.5 if options.get("truth", True) else NAN, psnr=20.0, ssim=NAN)]
    page = report(tmp_path, [make_run(tmp_path, "r_rgi", rows, **options)])
    assert page.observed() == ["b"]
    assert ("Convergence" in page.text) == ("history" not in options.get("drop", ()))
    assert ("Outline the true corruption" in page.text) == options.get("truth", True)
    assert ("b: clean" in page.alts) == options.get("clean", True)
    assert "20.00 dB" in page.text
    assert "By kind" not in page.text


def test_rows_need_no_more_than_a_name(tmp_path):
    make_run(tmp_path, "padim", [row("a")], truth=False)
    page = report(tmp_path, [Run("padim", {}, [{"name": "a"}], tmp_path / "padim")])
    assert "PaDiM was run on 1 image, 16 \u00d7 16 pixels, without a known truth." in page.text


def test_sixty_images_and_three_methods_make_a_small_page(tmp_path):
    brick = skimage.data.brick()[::2, ::2] / 127.5 - 1
    rows = [row(f"{number:02d}", number / 60) for number in range(60)]
    runs = [make_run(tmp_path, method, rows, size=(64, 64)) for method in ("anogan", "rgi", "r_rgi")]
    for number, each in enumerate(rows):
        patch = brick[3 * number : 3 * number + 64, 2 * number : 2 * number + 64][None].astype(np.float32)
        for run in runs:
            arrays = {"observed": patch, "restored": patch, "clean": patch, "map": np.abs(patch[0]), "history": [2, 1]}
            np.savez(run.results / f"{each['name']}.npz", **arrays)
    assert len(report(tmp_path, runs).source) < 3e6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme):
    source = (Path(pictures.__file__).parent / "page.html").read_text(encoding="utf-8")
    block = source.split(":root {")[1 if scheme == "light" else 2].split("}")[0]
    colours = dict(re.findall(r"--(\w+): #([0-9a-f]{6})\b", block))

    def luminance(name):
        part = np.array([int(colours[name][i : i + 2], 16) for i in (0, 2, 4)]) / 255
        return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    pairs = [(text, paper) for text in ("ink", "soft", "accent") for paper in ("paper", "card")]
    for text, paper in [*pairs, ("ink", "best")]:
        bright, dim = sorted((luminance(text), luminance(paper)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, paper)


def test_bad_input_is_refused_before_anything_is_written(tmp_path):
    good = make_run(tmp_path, "rgi", ROWS)
    other = make_run(tmp_path, "pca", ROWS[:-1])
    no_map = make_run(tmp_path, "yeh", ROWS, drop=("map",))
    broken = make_run(tmp_path, "pan", ROWS)
    (tmp_path / "pan/crack/d.npz").write_bytes(b"PK no archive")
    for runs, words in [
        ([], "no runs"),
        ([Run("rgi", {}, [], tmp_path)], "rgi has no images"),
        ([good, other], "not over the same images (good/e"),
        ([Run("rgi", {}, ROWS + ROWS[:1], tmp_path / "rgi")], "same name"),
        ([Run("rgi", {}, [row("../x")], tmp_path / "rgi")], "../x leads out"),
        ([Run("rgi", {}, ROWS, tmp_path / "nowhere")], "nowhere/crack/a.npz: missing"),
        ([good, no_map], "crack/a.npz: has no array 'map'"),
        ([good, broken], "crack/d.npz: is not a result file"),
    ]:
        with pytest.raises(InputError, match=re.escape(words)):
            write_report(tmp_path / "report", "Title", runs, "")
    assert not (tmp_path / "report").exists()
