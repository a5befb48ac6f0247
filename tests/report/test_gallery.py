"""Data of the gallery: failures first, defects, kinds, and numbers."""

from pathlib import Path

import pandas as pd
import pytest
from helpers.report_page import NAN, image, results_of

from rgi.report.gallery import Shown, defects, failure_ranks, gallery_data, typical_position

PICTURE = Shown((8, 8), (("observed", None), ("map", 0)), ["data:1", "data:2"])


def in_order(rows, defective):
    ranks = failure_ranks(pd.DataFrame(rows), defective)
    return [row["name"] for _, row in sorted(zip(ranks, rows, strict=True), key=lambda pair: pair[0])]


def test_images_without_a_score_come_last():
    assert in_order([image("a"), image("b", score=NAN), image("c", score=1.0)], [None] * 3) == ["c", "a", "b"]
    assert in_order([{"name": "b"}, {"name": "a"}], [False, None]) == ["a", "b"]


def test_failures_of_all_three_kinds_are_merged_evenly():
    """Bad maps, missed defects without a mask, and false alarms."""
    maps = [image(f"map{number}", 0.5 + number / 10) for number in range(4)]
    missed = [image("missed1", score=0.9), image("missed0", score=0.1)]
    clean = [image("clean1", score=0.2), image("clean0", score=0.3)]
    order = in_order([*maps[::-1], *missed, *clean], [True] * 4 + [True] * 2 + [False, None])
    assert order == ["map0", "missed0", "clean0", "map1", "map2", "missed1", "clean1", "map3"]


def test_an_image_is_defective_if_its_row_or_else_its_mask_says_so():
    rows = pd.DataFrame({"name": list("abcd"), "defective": ["True", "False", "", ""]})
    assert defects(rows, [False, True, True, None]) == [True, False, True, None]
    assert defects(rows[["name"]], [False, True, None, None]) == [False, True, None, None]
    assert defects(rows.assign(defective=[True, False, True, False]), [None] * 4) == [True, False, True, False]


def test_the_typical_image_is_in_the_middle():
    rows = [image("a", 0.9), image("b", 0.1), image("c", 0.5), image("d", score=2.0)]
    assert typical_position(pd.DataFrame(rows)) == 2
    assert typical_position(pd.DataFrame([image("a", score=3), image("b", score=1), image("c", score=2)])) == 2
    assert typical_position(pd.DataFrame({"name": ["a"]})) == 0


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([image("a/1"), image("b/2")], ["a", "b"]),
        ([image("1"), image("b/2")], ["", "b"]),
        ([image("a/1"), image("a/2")], None),
        ([image("a/1"), image("a/2", category="grass")], ["brick / a", "grass / a"]),
        ([{"name": "1"}, {"name": "2"}], None),
    ],
)
def test_kinds_for_the_filter(rows, kinds):
    assert gallery_data([results_of("rgi", rows)], [None] * 2, [PICTURE] * 2)["kinds"] == kinds


def test_numbers_of_all_methods_that_any_method_has():
    first = [image("a", 0.123456789, psnr=NAN), image("b", NAN, psnr=20.0)]
    second = [{"name": "a", "score": 123456.7}, {"name": "b", "score": NAN}]
    found = gallery_data([results_of("rgi", first), results_of("pca", second)], [True, None], [PICTURE] * 2)
    values = {number["label"]: number["values"] for number in found["numbers"]}
    assert values["Pixel AUROC"] == [[0.12346, None], [None, None]]
    assert values["Score"] == [[0, 0], [123460, None]]
    assert values["PSNR"] == [[None, 20], [None, None]]
    assert "SSIM" not in values


def test_pictures_of_different_sizes():
    wide = Shown((40, 10), (("observed", None),), ["data:3"])
    found = gallery_data([results_of("rgi", [image(name) for name in "abc"])], [None] * 3, [PICTURE, wide, PICTURE])
    assert found["look"] == [0, 1, 0]
    assert [look["size"] for look in found["looks"]] == [(8, 8), (40, 10)]
    assert found["sources"] == [["data:1", "data:2"], ["data:3"], ["data:1", "data:2"]]


def test_a_method_of_several_runs_is_called_by_its_run():
    assert results_of("r_rgi", []).label == "R-RGI"
    assert type(results_of("r_rgi", []))("r_rgi", {}, pd.DataFrame(), Path(), run="demo/1").label == "R-RGI (demo/1)"
