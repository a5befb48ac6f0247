"""Tables of a benchmark: bold cells, text formats, figure, and page."""

import numpy as np
import pandas as pd
import pytest

from rgi.report.benchmark import (
    benchmark_tables,
    clearly_best,
    compare_images,
    latex,
    markdown,
    mean_with_spread,
    score_figure,
    write_benchmark,
)
from rgi.report.formats import MISSING
from rgi.report.tables import METRICS

BRICK, SCREW = ("textures", "brick", ""), ("mvtec_ad", "screw", "")


def scores_of(*rows):
    """Table of scores. Each row is a test set, a method, a metric, mean, spread and number of seeds."""
    columns = ["dataset", "category", "corruption", "method", "metric", "mean", "spread", "seeds"]
    return pd.DataFrame([(*place, *others) for place, *others in rows], columns=columns)


@pytest.mark.parametrize(
    ("values", "direction", "expected"),
    [
        ([(0.9, 0.01, 3), (0.8, 0.02, 3), (np.nan, np.nan, np.nan)], 1, [True, False, False]),
        ([(0.9, 0.01, 3), (0.8, 0.02, 3), (np.nan, np.nan, np.nan)], -1, [False, True, False]),
        ([(0.9, 0.01, 3), (0.8, 0.02, 3)], 0, [False, False]),
        ([(0.9, 0.06, 3), (0.8, 0.05, 3)], 1, [False, False]),
        ([(0.9, 0, 1), (0.8, 0, 1)], 1, [False, False]),
        ([(0.9, 0, 3), (0.8, 0, 1)], 1, [True, False]),
        ([(0.9, 0, 3), (np.nan, np.nan, np.nan)], 1, [False, False]),
    ],
)
def test_a_method_is_clearly_best_if_the_difference_exceeds_both_spreads(values, direction, expected):
    scores = pd.DataFrame(values, columns=["mean", "spread", "seeds"])
    assert clearly_best(scores, direction).tolist() == expected


def test_markdown_and_latex_tables():
    scores = scores_of(
        (BRICK, "rgi", "standard/psnr_std", 1.0, 0.0, 3),
        (BRICK, "rgi", "standard/psnr", 30.0, 0.5, 3),
        (BRICK, "pca", "images", 60.0, 0.0, 3),
        (BRICK, "pca", "standard/psnr", 20.0, 0.5, 3),
    )
    tables = benchmark_tables(scores)
    failed = [{"experiment": "a_b", "seed": 1, "reason": "no room"}]
    assert (
        markdown(tables, failed)
        == f"""### textures · brick

| method | PSNR (dB) | Images |
|---|---|---|
| RGI | **30.00 ± 0.50** | {MISSING} |
| PCA | 20.00 ± 0.50 | 60 ± 0 |

- failed: a_b, seed 1: no room
"""
    )
    assert (
        latex(tables, failed)
        == r"""% textures · brick
\begin{tabular}{lrr}
\toprule
method & PSNR (dB) & Images \\
\midrule
RGI & \textbf{30.00 $\pm$ 0.50} & -- \\
PCA & 20.00 $\pm$ 0.50 & 60 $\pm$ 0 \\
\bottomrule
\end{tabular}

% failed: a_b, seed 1: no room
"""
    )


def test_latex_special_characters_are_escaped():
    scores = scores_of(*((BRICK, method, "images", 12345.0, 0.0, 1) for method in ("my_net", "50%&#{}")))
    text = latex(benchmark_tables(scores), [])
    assert r"my net & 12\,345 \\" in text
    assert r"50\%\&\#\{\} & 12\,345 \\" in text


def test_means_with_equal_text_are_not_bold():
    """Deterministic methods have no spread, so a tiny difference of the means exceeds both spreads."""

    def table_text(pca, robust_pca):
        values = {"pca": pca, "robust_pca": robust_pca, "padim": (0.9, 0)}
        rows = ((SCREW, method, "standard/pixel_auroc", *each, 3) for method, each in values.items())
        return markdown(benchmark_tables(scores_of(*rows)), [])

    assert "**" not in table_text((0.9627, 0), (0.9631, 0))
    assert "**" not in table_text((0.9625, 0.0005), (0.96349, 0.0001))
    assert "| Robust PCA | **0.964 ± 0.000** |" in table_text((0.9625, 0.0005), (0.9638, 0))


@pytest.mark.parametrize(
    ("mean", "spread", "seeds", "text"),
    [
        (1.254, 0.0646, 3, "1.25 ± 0.06"),
        (231.6, 0.4, 3, "232 ± 0"),
        (1.5e-6, 2e-7, 2, "1.50e-06 ± 2.00e-07"),
        (1.254, 0, 1, "1.25"),
        (np.nan, 0, 3, MISSING),
        (np.inf, 0, 3, MISSING),
    ],
)
def test_mean_and_spread_have_the_same_number_of_decimals(mean, spread, seeds, text):
    format_value = METRICS["seconds_per_image"].format
    assert mean_with_spread(format_value(mean), spread, seeds, format_value) == text
    (table,) = benchmark_tables(scores_of((BRICK, "rgi", "seconds_per_image", mean, spread, seeds))).values()
    assert table.rows == [("RGI", [(text, False)])]


def test_the_figure_has_the_main_metric_of_each_test_set():
    """Pixel AUROC for defects, PSNR for holes. Methods without the main metric are left out."""
    both = (("standard/pixel_auroc", 0.9, 0.1, 3), ("standard/psnr", 30.0, 0.5, 3))
    places = (BRICK, ("magnetic_tile", "tile", "defects"), ("celeba", "faces", "central"))
    rows = [(place, "rgi", *each) for place in places for each in both]
    axes = score_figure(scores_of((BRICK, "padim", "images", 3.0, 0.0, 3), *rows)).axes
    assert [axis.get_xlabel() for axis in axes] == ["Pixel AUROC", "Pixel AUROC", "PSNR (dB)"]
    assert [list(axis.get_lines()[0].get_xdata()) for axis in axes] == [[0.9], [0.9], [30.0]]
    assert [[text.get_text() for text in axis.get_yticklabels()] for axis in axes] == [["RGI"]] * 3


@pytest.fixture
def results(tmp_path):
    """Results folders of two methods, which have two images in common."""
    image, truth = np.zeros((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32)
    for method, names in (("rgi", "abc"), ("padim", "bcd")):
        (tmp_path / method).mkdir()
        restored = {"restored": image} if method == "rgi" else {}
        for name in names:
            arrays = {"observed": image, "map": truth[0], "truth": truth, **restored}
            np.savez(tmp_path / method / f"{name}.npz", **arrays)
    return {method: tmp_path / method for method in ("rgi", "padim")}


def test_the_comparison_uses_images_with_results_of_all_methods(results):
    """The cell is empty if a method does not restore the image."""
    pictures = compare_images(results)
    assert pictures.methods == ["RGI", "PaDiM"]
    assert [name for name, _ in pictures.rows] == ["b", "b", "c", "c"]
    shown = [[uri is not None for uri in uris] for _, uris in pictures.rows]
    assert shown == [[True, False, True, False], [True, False, True, True]] * 2


def test_the_page_has_tables_pictures_and_failed_runs(tmp_path, results):
    scores = scores_of(
        (BRICK, "rgi", "standard/psnr", 30.0, 0.5, 3),
        (BRICK, "padim", "standard/psnr", 20.0, 0.5, 3),
    )
    failed = [{"experiment": "a_b", "seed": 1, "reason": "<no> room"}]
    text = write_benchmark(tmp_path, "demo", scores, failed, {BRICK: results}).read_text()
    assert "<h2>textures · brick</h2>" in text
    assert "<tr><td>RGI</td><td><b>30.00 ± 0.50</b></td></tr>" in text
    assert "<tr><td>PaDiM</td><td>20.00 ± 0.50</td></tr>" in text
    assert "a_b, seed 1: failed: &lt;no&gt; room" in text
    assert [text.count(f'alt="{name}"') for name in "abcd"] == [0, 5, 5, 0]
    assert text.count("<td></td>") == 2 * 3
    assert text.count("data:image/png") == 10
    assert {path.name for path in tmp_path.glob("*.*")} == {"figure.png", "table.html", "table.md", "table.tex"}


def test_the_page_is_written_if_all_runs_have_failed(tmp_path):
    text = write_benchmark(
        tmp_path, "demo", scores_of(), [{"experiment": "a", "seed": 0, "reason": "b"}], {}
    ).read_text()
    assert "a, seed 0: failed: b" in text
    assert not (tmp_path / "figure.png").exists()
