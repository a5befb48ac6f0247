"""A table of runs: what is finished stays, what fails is said, and bold means more than the spread."""

import csv
import json

import pytest
from omegaconf import OmegaConf
from test_run import in_process, run

from rgi import benchmark
from rgi.report.benchmark import Cell, best, latex, markdown, table
from rgi.report.tables import MISSING

ROWS = [
    "task=benchmark",
    "benchmark=demo",
    "benchmark.methods=[pca,rgi]",
    "benchmark.seeds=[0]",
    'benchmark.options=["dataset.test_images=3","generator.path=nowhere.safetensors"]',
]


def test_finished_rows_stay_and_failing_ones_say_why(tmp_path):
    """PCA needs no generator; RGI does, and its row fails, is reported, and is tried again."""
    done = run(tmp_path, *ROWS)
    folder = tmp_path / "outputs/benchmark/demo"
    assert done.stdout.splitlines() == ["outputs/benchmark/demo/table.html"]
    (finished,) = folder.glob("rows/textures_pca-brick-0-*/metrics.json")
    before = finished.stat().st_mtime_ns
    scores = json.loads(finished.read_text())["pca"]
    with (folder / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = {f"{line['protocol']}/{line['metric']}".lstrip("/"): line["value"] for line in lines if not line["reason"]}
    assert float(found["standard/pixel_auroc"]) == scores["standard/pixel_auroc"]
    assert {"reference/auroc", "reference/psnr", "seconds_per_image"} <= found.keys()
    (failure,) = [line for line in lines if line["reason"]]
    assert (failure["experiment"], failure["seed"]) == ("textures_rgi", "0")
    assert "generator.path=nowhere.safetensors: no such file" in failure["reason"]
    for name in ("table.md", "table.tex", "table.html"):
        text = (folder / name).read_text()
        assert "failed" in text
        assert f"{scores['standard/pixel_auroc']:.3f}" in text
    assert "pictures/" in (folder / "table.html").read_text()

    run(tmp_path, *ROWS)
    assert finished.stat().st_mtime_ns == before
    assert len(list(folder.glob("rows/*"))) == 1


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
    assert f"| rgi | **30.00 ± 0.50** | {MISSING} |" in text
    assert "| pca | 20.00 ± 0.50 | 60 ± 0 |" in text
    assert "psnr std" not in text
    assert "failed: a_b, seed 1: no room" in text
    tex = latex(sets, [])
    assert r"rgi & \textbf{30.00 $\pm$ 0.50} & -- \\" in tex
    assert tex.count(r"\begin{tabular}{lrr}") == 1


@pytest.mark.parametrize("missing", ["task=benchmark", "task=benchmark benchmark=demo benchmark.methods=[nonsense]"])
def test_what_cannot_be_run_is_said_before_anything_is(missing, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert in_process(monkeypatch, *missing.split()) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "textures_nonsense" in line or "add benchmark=anomaly" in line
