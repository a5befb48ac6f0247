"""Tables of a report: cells, and marks on the best cells."""

import pytest
from helpers.report_page import NAN, image, results_of

from rgi.report import tables


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
def test_the_best_value_is_marked(key, values, expected):
    methods = [results_of(f"m{number}", [], {key: value}) for number, value in enumerate(values)]
    _, table, _ = tables.score_table(methods)
    assert [best for _, ((_, best),) in table.rows] == expected


def test_scores_as_published_are_the_statistics_that_the_authors_report():
    """The median over images of PSNR and SSIM, the mean of AUROC and Dice, each called what it is."""
    metrics = {"auroc": 0.1, "dice": 0.2, "psnr": 30.0, "ssim": 0.3, "psnr_median": 40.0, "ssim_median": 0.4}
    keys, table, _ = tables.score_table([results_of("rgi", [], {f"reference/{k}": v for k, v in metrics.items()})])
    assert keys == [f"reference/{name}" for name in ("auroc", "dice", "psnr_median", "ssim_median")]
    assert [text for _, row in table.rows for text, _ in row] == ["0.100", "0.200", "40.00", "0.400"]
    for key in keys:
        statistic = "median" if key.endswith("_median") else "mean"
        assert tables.metric(key).description.endswith(f" {statistic} over images.")
        assert tables.metric(key).label.startswith("Median") == (statistic == "median")


def test_the_error_of_a_metric_is_a_note_and_not_a_column():
    errors = (2e-7, 5e-6, NAN)
    methods = [results_of("rgi", [], {"pixel_auroc": 0.9, "pixel_auroc_error": error}) for error in errors]
    assert tables.score_table(methods)[0] == ["pixel_auroc"]
    assert tables.binning_errors(methods, ["pixel_auroc", "psnr"]) == [("Pixel AUROC", "5e-06")]


def test_kind_means_only_use_images_with_a_score_of_all_methods():
    first = [image("a/1", 0.5), image("a/2", 0.7), image("b/3", 0.2), image("b/4", 0.9), image("good/5")]
    second = [image("b/4", 0.8), image("a/1", 0.6), image("a/2", 0.8), image("b/3", NAN), image("good/5")]
    table, skipped = tables.kind_table([results_of("x", first), results_of("y", second)])
    assert list(table.texts) == ["Images", "x", "y"]
    assert table.rows == [
        ("a", [("2", False), ("0.600", False), ("0.700", True)]),
        ("b", [("1", False), ("0.900", True), ("0.800", False)]),
        ("all kinds", [("3", False), ("0.700", False), ("0.733", True)]),
    ]
    assert skipped == 2


def test_equal_kinds_of_different_categories_are_different_rows():
    rows = [image("a/1", 0.5), image("a/2", 0.7, category="grass")]
    table, _ = tables.kind_table([results_of("x", rows)])
    assert list(table.texts.index) == ["brick / a", "grass / a", "all kinds"]


@pytest.mark.parametrize("rows", [[image("1", 0.5)], [image("a/1")], [{"name": "a/1"}]])
def test_without_kinds_or_scores_there_is_no_table(rows):
    assert tables.kind_table([results_of("x", rows)]) == (None, 0)
