"""A table of runs: what is finished stays, what fails is said, and bold means more than the spread."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import in_process, interrupt, run
from helpers.wandb_log import logged
from omegaconf import OmegaConf

from rgi.app import benchmark
from rgi.report.benchmark import Cell, best, draw, latex, markdown, side_by_side, table
from rgi.report.methods import Run
from rgi.report.tables import METRICS, MISSING

ROWS = [
    "task=benchmark",
    "benchmark=demo",
    "benchmark.methods=[mean_image,pca,rgi]",
    "benchmark.seeds=[0]",
    'benchmark.options=["dataset.test_images=3","generator.path=nowhere.safetensors"]',
    "logger=wandb",
]


@pytest.fixture(scope="module")
def continued(tmp_path_factory) -> tuple[Path, dict[str, int], list[str]]:
    """The folder of a benchmark that was killed -9 after its first row, and started again.

    And when the rows before the kill were finished, and what the second start printed. The first two rows need no
    generator; the third does, and finds none.
    """
    home = tmp_path_factory.mktemp("killed")
    folder = home / "outputs/benchmark/demo"
    interrupt(home, lambda: finished(folder), *ROWS, cwd=home)
    before = finished(folder)
    return folder, before, run(home, *ROWS).stdout.splitlines()


def finished(folder: Path) -> dict[str, int]:
    """When each row that is finished was."""
    return {file.parent.name: file.stat().st_mtime_ns for file in folder.glob("rows/*/metrics.json")}


def test_a_killed_benchmark_goes_on(continued):
    folder, before, _ = continued
    (first,) = before
    assert first.startswith("textures_mean_image-brick-0-")
    after = finished(folder)
    assert len(after) == 2
    assert after[first] == before[first]


def test_tables_hold_every_score_and_why_a_row_failed(continued):
    folder, _, printed = continued
    assert printed == ["outputs/benchmark/demo/table.html"]
    (row,) = folder.glob("rows/textures_pca-brick-0-*/metrics.json")
    scores = json.loads(row.read_text())["pca"]
    with (folder / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    values = [line for line in lines if line["method"] == "pca"]
    found = {f"{line['protocol']}/{line['metric']}".lstrip("/"): line["value"] for line in values}
    assert float(found["standard/pixel_auroc"]) == scores["standard/pixel_auroc"]
    assert {"reference/auroc", "reference/psnr", "seconds_per_image"} <= found.keys()
    (failure,) = [line for line in lines if line["reason"]]
    assert (failure["experiment"], failure["seed"]) == ("textures_rgi", "0")
    assert "generator.path=nowhere.safetensors: no such file" in failure["reason"]
    for name in ("table.md", "table.tex", "table.html"):
        text = (folder / name).read_text()
        assert "failed" in text
        assert f"{scores['standard/pixel_auroc']:.3f}" in text
    assert "data:image/png" in (folder / "table.html").read_text()
    assert (folder / "figure.png").is_file()


def test_rows_compare_in_wandb(continued):
    """One run a row: the benchmark as group, the method as job type, every score under ``<protocol>/<metric>``."""
    folder, _, _ = continued
    for method in ("mean_image", "pca"):
        (file,) = folder.glob(f"rows/textures_{method}-*/wandb/offline-run-*/*.wandb")
        found = logged(file)
        assert (found["run"].run_group, found["run"].job_type) == ("demo", method)
        expected = json.loads((file.parents[2] / "metrics.json").read_text())[method]
        assert {"standard/pixel_auroc", "reference/auroc"} <= expected.keys()
        known = {name: value for name, value in expected.items() if value is not None}  # no image is without a defect
        assert {name: found["summary"][name] for name in known} == known
        assert found["config"]["seed"] == 0


def test_the_same_images_stand_side_by_side(tmp_path):
    """Only those that every method has, a column each; what a method does not restore stays empty."""
    image, truth = np.zeros((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32)
    for method, names in (("rgi", "abc"), ("padim", "bcd")):
        (tmp_path / method).mkdir()
        restored = {"restored": image} if method == "rgi" else {}
        for name in names:
            arrays = {"observed": image, "map": truth[0], "truth": truth, **restored}
            np.savez(tmp_path / method / f"{name}.npz", **arrays)
    text = side_by_side([Run(method, {}, [], tmp_path / method) for method in ("rgi", "padim")])
    assert [text.count(f'alt="{name}"') for name in "abcd"] == [0, 5, 5, 0]
    assert text.count("<td></td>") == 2 * 3
    assert text.index("RGI") < text.index("PaDiM")


def test_the_figure_shows_each_sets_main_score():
    """How well defects are found and holes restored, although both sets have both scores; a row without is left out."""
    both = {"standard/pixel_auroc": Cell(0.9, 0.1, 3), "standard/psnr": Cell(30.0, 0.5, 3)}
    scores = {
        ("textures", "brick", "", "rgi"): both,
        ("textures", "brick", "", "padim"): {"images": Cell(3, 0, 3)},
        ("magnetic_tile", "tile", "defects", "rgi"): both,
        ("celeba", "faces", "central", "rgi"): both,
    }
    axes = draw(scores).axes
    assert [axis.get_xlabel() for axis in axes] == ["Pixel AUROC", "Pixel AUROC", "PSNR (dB)"]
    assert [list(axis.get_lines()[0].get_xdata()) for axis in axes] == [[0.9], [0.9], [30.0]]


def test_another_generator_is_another_row(tmp_path):
    """One trained anew, under the same name."""
    card, cfg = tmp_path / "gan.json", OmegaConf.create({"generator": {"path": str(tmp_path / "gan.safetensors")}})
    found = set()
    for content in ("{}", '{"sha256": "1"}', '{"sha256": "2"}'):
        card.write_text(content)
        found.add(benchmark._generators(cfg))
    assert len(found) == 3


def test_bold_needs_more_than_both_spreads():
    clear = [Cell(0.9, 0.01, 3), Cell(0.8, 0.02, 3), None]
    assert best(clear, 1) == [True, False, False]
    assert best(clear, -1) == [False, True, False]
    assert best(clear, 0) == [False] * 3
    assert best([Cell(0.9, 0.06, 3), Cell(0.8, 0.05, 3)], 1) == [False, False]
    assert best([Cell(0.9, 0, 1), Cell(0.8, 0, 1)], 1) == [False, False]
    assert best([Cell(0.9, 0, 3)], 1) == [False]


def test_tables_in_words():
    scores = {
        ("textures", "brick", "", "rgi"): {"standard/psnr": Cell(30.0, 0.5, 3), "standard/psnr_std": Cell(1, 0, 3)},
        ("textures", "brick", "", "pca"): {"standard/psnr": Cell(20.0, 0.5, 3), "images": Cell(60, 0, 3)},
    }
    sets = table(scores)
    text = markdown(sets, [{"experiment": "a_b", "seed": 1, "reason": "no room"}])
    assert f"| RGI | **30.00 ± 0.50** | {MISSING} |" in text
    assert "| PCA | 20.00 ± 0.50 | 60 ± 0 |" in text
    assert "psnr std" not in text
    assert "failed: a_b, seed 1: no room" in text
    tex = latex(sets, [])
    assert r"RGI & \textbf{30.00 $\pm$ 0.50} & -- \\" in tex
    assert tex.count(r"\begin{tabular}{lrr}") == 1


def test_what_looks_the_same_is_not_bold():
    """A method without chance has no spread, so that the last digit of a float would do."""
    key, means = ("mvtec_ad", "screw", ""), {"pca": 0.9627, "robust_pca": 0.9631, "padim": 0.9}
    scores = {(*key, method): {"standard/pixel_auroc": Cell(mean, 0, 3)} for method, mean in means.items()}
    assert "**" not in markdown(table(scores), [])
    scores[(*key, "pca")] = {"standard/pixel_auroc": Cell(0.9625, 0.0005, 3)}
    scores[(*key, "robust_pca")] = {"standard/pixel_auroc": Cell(0.96349, 0.0001, 3)}
    assert "**" not in markdown(table(scores), [])
    scores[(*key, "robust_pca")] = {"standard/pixel_auroc": Cell(0.9638, 0, 3)}
    assert "| Robust PCA | **0.964 ± 0.000** |" in markdown(table(scores), [])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(1.254, 0.0646, 3), "1.25 ± 0.06"),
        (Cell(231.6, 0.4, 3), "232 ± 0"),
        (Cell(1.5e-6, 2e-7, 2), "1.50e-06 ± 2.00e-07"),
        (Cell(1.254, 0, 1), "1.25"),
        (Cell(float("nan"), 0, 3), MISSING),
    ],
)
def test_a_spread_has_the_decimals_of_its_mean(cell, text):
    assert cell.text(METRICS["seconds_per_image"]) == text


@pytest.mark.parametrize("missing", ["task=benchmark", "task=benchmark benchmark=demo benchmark.methods=[nonsense]"])
def test_what_cannot_be_run_is_said_before_anything_is(missing, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert in_process(monkeypatch, *missing.split()) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "textures_nonsense" in line or "add benchmark=anomaly" in line
