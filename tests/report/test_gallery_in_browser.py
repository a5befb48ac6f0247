"""The gallery in a headless browser: sorting, filters, sliders, keyboard, phone, and ten thousand images."""

import io
import json
import re

import numpy as np
import pytest
from helpers.browser import BROWSER, Browser
from helpers.report_page import Page, image, make_results, report
from PIL import Image

from rgi.report import page as page_module
from rgi.report.formats import MISSING, fixed, significant

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
KINDS = ("good", "crack", "hole")
ROWS = [image(f"{KINDS[n % 3]}/{n:02d}", np.nan if n % 3 == 0 else 0.9 - n / 40, score=n / 10) for n in range(15)]
NAMES = "[...document.querySelectorAll('#cards h3 a')].map((link) => link.textContent)"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The same report with the pictures inside the page, and with the pictures in a folder."""
    folder, found = tmp_path_factory.mktemp("reports"), {}
    methods = [make_results(folder, name, ROWS) for name in ("rgi", "padim")]
    make_results(folder, "padim", ROWS, drop=("restored", "history"))
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in (("inside", 10**9), ("beside", 0)):
            patch.setattr(page_module, "EMBEDDED", limit)
            report(folder / name, methods)
            found[name] = folder / name / "report/report.html"
    return found


@pytest.fixture
def inside(browser, pages):
    """The page with its pictures, without any complaint or request until the end of the test."""
    browser.open(pages["inside"])
    yield browser
    browser.run("1")  # reads the last events
    assert not browser.complaints
    assert {address for address in browser.requests if not address.startswith("data:")} == {pages["inside"].as_uri()}


def sort_by(browser, label):
    """Press the button with the keyboard."""
    browser.run(f"[...find('sort').children].find((each) => each.textContent.startsWith({json.dumps(label)})).focus()")
    browser.press("Enter")
    return browser.run("document.activeElement.textContent")


def choose(browser, select, value):
    browser.run(f"(() => {{ {select}.value = {json.dumps(value)}; {select}.dispatchEvent(new Event('change')); }})()")


def test_failures_come_first_and_other_pages_follow(inside, pages):
    order = Page(pages["inside"]).failures_first()
    assert inside.run(NAMES) == order[:12]
    assert inside.run("find('status').textContent") == "1\u201312 of 15 images"
    inside.run("document.querySelector('[aria-label=\"Next page\"]').focus()")
    inside.press("Enter")
    assert inside.run(NAMES) == order[12:]
    assert inside.run("document.activeElement.id") == "status"  # the button is disabled now


def test_buttons_sort_by_every_column_in_both_directions(inside):
    assert sort_by(inside, "Name") == "Name ↑"
    assert inside.run(NAMES) == sorted(row["name"] for row in ROWS)[:12]
    assert sort_by(inside, "Name") == "Name ↓"
    assert inside.run(NAMES)[0] == "hole/14"
    assert sort_by(inside, "Score") == "Score ↓"
    assert inside.run(NAMES)[0] == ROWS[-1]["name"]
    assert sort_by(inside, "Pixel AUROC") == "Pixel AUROC ↑"
    worst = sorted((row for row in ROWS if row["kind"] != "good"), key=lambda row: row["pixel_auroc"])
    assert inside.run(NAMES)[:10] == [row["name"] for row in worst]
    assert inside.run("find('sort').querySelectorAll('[aria-pressed=true]').length") == 1


@pytest.mark.parametrize(
    ("value", "kinds"), [("kind crack", {"crack"}), ("test true", {"crack", "hole"}), ("test false", {"good"})]
)
def test_the_filter_keeps_a_kind(inside, value, kinds):
    choose(inside, "find('kind')", value)
    shown = inside.run(NAMES)
    assert sorted(shown) == sorted(row["name"] for row in ROWS if row["kind"] in kinds)[: len(shown)]
    assert len(shown) == 5 * len(kinds)
    assert inside.run("find('status').textContent").endswith(f"of {len(shown)} images")


def test_arrow_keys_and_the_pointer_move_the_slider(inside):
    """The restored image is cut where the slider is, for all methods that restore."""
    inside.run("document.querySelector('#cards input[type=range]').focus()")
    for _ in range(2):
        inside.press("ArrowLeft")
    first = "document.querySelector('#cards .card')"
    cut = f"getComputedStyle({first}.querySelector('.over')).clipPath"
    assert inside.run("document.activeElement.getAttribute('aria-valuetext')") == "96 % restored"
    assert inside.run(cut) == "inset(0px 4% 0px 0px)"
    inside.press("Home")
    assert inside.run(cut) == "inset(0px 100% 0px 0px)"
    inside.run(f"{first}.scrollIntoView()")
    box = inside.run(f"{first}.querySelector('.slide').getBoundingClientRect().toJSON()")
    middle = box["top"] + box["height"] / 2
    inside.drag((box["left"] + 4, middle), (box["left"] + box["width"] / 4, middle))
    assert 20 <= float(re.search(r" (\d+)%", inside.run(cut))[1]) <= 80
    assert inside.run(f"{first}.querySelector('input').value") in ("24", "26")
    assert inside.run(f"{first}.querySelectorAll('.over').length") == 1  # PaDiM restores nothing


def test_the_keyboard_reaches_all_controls_in_order(inside):
    """And shows where it is."""
    reached = []
    inside.run("find('kind').focus()")
    for _ in range(9):
        inside.press("Tab")
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert inside.run(style) == "solid"
        reached.append(inside.run("document.activeElement.textContent.slice(0, 8) || document.activeElement.id"))
    assert reached[1:6] == ["Failures", "Name", "Pixel AU", "Score", "Iteratio"]
    assert reached[7:9] == ["outlines", "\u203a"]


def test_the_outline_of_the_mask_can_be_hidden(inside):
    shown = "getComputedStyle(document.querySelector('#cards .outline')).display"
    assert inside.run(shown) == "block"
    inside.run("find('outlines').focus()")
    inside.press(" ")
    assert inside.run(shown) == "none"


def test_both_kinds_of_pages_show_the_same_pictures(browser, pages):
    shots = []
    for page in pages.values():
        browser.open(page)
        browser.wait(
            "[...document.querySelectorAll('#cards .card:first-child img')].every((each) => each.naturalWidth)"
        )
        box = browser.run("document.querySelector('#cards .groups').getBoundingClientRect().toJSON()")
        clip = {key: box[key] for key in ("x", "y", "width", "height")} | {"scale": 1}
        shots.append(np.asarray(Image.open(io.BytesIO(browser.shot(clip))).convert("RGB"), float))
    assert shots[0].std() > 40
    assert shots[0].shape == shots[1].shape
    assert np.abs(shots[0] - shots[1]).mean() < 4


@pytest.mark.parametrize("name", ["inside", "beside"])
def test_nothing_is_wider_than_a_phone(browser, pages, name):
    browser.open(pages[name], **PHONE)
    for fold in (False, True):
        browser.run(f"document.querySelectorAll('details').forEach((each) => {{ each.open = {json.dumps(fold)}; }})")
        assert browser.run("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    inside = "[...document.querySelectorAll('.scroll')].every((each) => each.scrollWidth <= each.clientWidth)"
    assert browser.run(inside)
    copies = "for (let n = 0; n < 8; n++) row.append(row.lastElementChild.cloneNode(true));"
    browser.run(f"document.querySelectorAll('tr').forEach((row) => {{ {copies} }})")  # a table of ten methods
    assert not browser.run(inside)
    assert browser.run("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]


def test_numbers_look_as_in_the_tables(inside):
    values = [0, 0.0000123, 0.00012345, 0.5, 1.5, 99.94, 99.96, 1234.6, 1234567.0]
    for decimals, expected in ((None, significant), (2, fixed(2)), (1, fixed(1))):
        number = json.dumps({"decimals": decimals, "suffix": ""})
        assert inside.run(f"{json.dumps(values)}.map((value) => text({number}, value))") == [*map(expected, values)]
    assert inside.run("text({ decimals: 2, suffix: ' dB' }, null)") == MISSING


def test_ten_thousand_images_stay_fluid(browser, pages):
    """The page loads only the pictures in view, and has no more elements than with a few images."""
    few = pages["beside"]
    text, data = few.read_text(), Page(few).data
    times = 10_000 // len(ROWS) + 1
    lists = {key: data[key] * times for key in ("names", "kinds", "defective", "look")}
    failure = [[rank * times + turn for turn in range(times) for rank in ranks] for ranks in data["failure"]]
    numbers = [number | {"values": [each * times for each in number["values"]]} for number in data["numbers"]]
    many = few.with_name("many.html")
    content = json.dumps(data | lists | {"failure": failure, "numbers": numbers})
    many.write_text(
        re.sub(r'(id="data">).*?(</script>)', lambda found: found[1] + content + found[2], text, flags=re.S)
    )
    browser.open(many)
    assert browser.run("find('status').textContent") == f"1\u201312 of {times * len(ROWS)} images"
    assert browser.run("document.getElementsByTagName('*').length") < 3000
    started = browser.run("performance.now()")
    for label in ("Score", "Name", "Failures first"):
        sort_by(browser, label)
    browser.run("document.querySelector('[aria-label=\"Last page\"]').click()")
    assert browser.run("performance.now()") - started < 5000
    assert browser.run(NAMES) == Page(few).failures_first()[-1:] * (times * len(ROWS) % 12 or 12)
    browser.wait("[...document.querySelectorAll('#cards .card:first-child img')].every((each) => each.naturalWidth)")
    assert not browser.complaints
    assert len(browser.requests) < 60
    assert all(address.startswith(few.parent.as_uri()) for address in browser.requests)
