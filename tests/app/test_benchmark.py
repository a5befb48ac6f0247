"""Benchmarks: finished rows are kept, failures are reported, and scores are summarised over seeds."""

import csv
import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import in_process, interrupt, run
from helpers.composed import CONF, composed
from helpers.wandb_log import logged
from omegaconf import OmegaConf

from rgi.app.grid import grid
from rgi.app.jobs import benchmark

ROWS = [
    "task=benchmark",
    "benchmark=demo",
    "benchmark.methods=[mean_image,pca,rgi]",
    "benchmark.seeds=[0]",
    'benchmark.options=["dataset.test_images=3","generator.path=nowhere.safetensors"]',
    "logger=wandb",
]
LAUNCHER = ["launcher=joblib", "launcher.n_jobs=2"]


@pytest.fixture(scope="module")
def continued(tmp_path_factory) -> tuple[Path, dict[str, int], list[str]]:
    """A benchmark that was killed with SIGKILL after its first row and then started again with a launcher.

    The first two rows need no generator. The third row fails, because its generator is missing.

    Returns:
        Folder of the benchmark, finish times of the rows before the kill, and output lines of the second start.
    """
    home = tmp_path_factory.mktemp("killed")
    folder = home / "outputs/benchmark/demo"
    interrupt(home, lambda: finished(folder), *ROWS, cwd=home)
    before = finished(folder)
    return folder, before, run(home, *ROWS, *LAUNCHER).stdout.splitlines()


def finished(folder: Path) -> dict[str, int]:
    """Finish times of the finished rows in nanoseconds."""
    files = [file for file in folder.glob("rows/*/metrics.json") if not (file.parent / ".unlogged").exists()]
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def test_a_killed_benchmark_continues_after_the_finished_rows(continued):
    folder, before, _ = continued
    (first,) = before
    assert first.startswith("textures_mean_image-brick-0-")
    after = finished(folder)
    assert len(after) == 2
    assert after[first] == before[first]


def test_table_csv_has_all_scores_and_the_reason_of_a_failure(continued):
    folder, _, printed = continued
    assert printed == ["outputs/benchmark/demo/table.html"]
    (row,) = folder.glob("rows/textures_pca-brick-0-*/metrics.json")
    scores = json.loads(row.read_text())["pca"]
    with (folder / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    columns = ["dataset", "category", "corruption", "method", "protocol", "metric", "seed", "value", "map"]
    assert list(lines[0]) == [*columns, "experiment", "reason"]
    (row_table,) = folder.glob("rows/textures_pca-brick-0-*/table.csv")
    with row_table.open(newline="") as file:
        assert [line for line in lines if line["method"] == "pca"] == [
            {**line, "experiment": "", "reason": ""} for line in csv.DictReader(file)
        ]
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


def test_rows_are_logged_to_wandb(continued):
    """Each row is a W&B run. The benchmark is the group, the method is the job type, and all scores are logged."""
    folder, _, _ = continued
    for method in ("mean_image", "pca"):
        (file,) = folder.glob(f"rows/textures_{method}-*/wandb/offline-run-*/*.wandb")
        found = logged(file)
        assert (found["run"].run_group, found["run"].job_type) == ("demo", method)
        expected = json.loads((file.parents[2] / "metrics.json").read_text())[method]
        assert {"standard/pixel_auroc", "reference/auroc"} <= expected.keys()
        known = {name: value for name, value in expected.items() if value is not None}  # image AUROC is null
        assert {name: found["summary"][name] for name in known} == known
        assert found["config"]["seed"] == 0
        assert [*found["run"].tags] == ["textures", "brick", method, "standard", "reference"]  # and no generator
        assert "generator" not in found["artifacts"]


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("benchmark/*.yaml")))
def test_all_rows_of_a_benchmark_exist(name):
    """Each experiment of the table is one of the grid, and takes the options of its row."""
    table = OmegaConf.load(CONF / f"benchmark/{name}.yaml")
    for each in table.sets:
        assert {f"{each.experiment}_{method}" for method in table.methods} <= grid().keys()
        composed(f"experiment={each.experiment}_{table.methods[-1]}", *each.options, *table.options)


def long_form(tmp_path, name, rows):
    """Write table.csv of a run with rows (method, protocol, metric, seed, value), and read it."""
    table = pd.DataFrame(rows, columns=["method", "protocol", "metric", "seed", "value"])
    table.insert(0, "dataset", "mvtec_ad")
    table.insert(1, "category", "03")
    table.insert(2, "corruption", "")
    (tmp_path / name).mkdir()
    table.to_csv(tmp_path / name / "table.csv", index=False, na_rep="nan")
    return benchmark.read_scores(tmp_path / name)


def test_scores_are_summarised_as_mean_and_half_of_the_range(tmp_path):
    """Names such as "03" and "" do not change. The mean is NaN if the score of a seed is NaN."""
    runs = [
        (
            "a",
            [("rgi", "standard", "psnr", 0, 30.1), ("rgi", "", "images", 0, 60), ("rgi", "reference", "dice", 0, 0.1)],
        ),
        (
            "b",
            [
                ("rgi", "standard", "psnr", 1, 30.4),
                ("rgi", "", "images", 1, 60),
                ("rgi", "reference", "dice", 1, "nan"),
            ],
        ),
        ("c", [("rgi", "standard", "psnr", 2, 30.2), ("NA", "standard", "psnr", 0, 0.1 + 0.2)]),
    ]
    scores = benchmark.summarise(pd.concat([long_form(tmp_path, *run) for run in runs]))
    assert (scores[["dataset", "category", "corruption"]] == ["mvtec_ad", "03", ""]).all(axis=None)
    found = {(row.method, row.metric): (row.mean, row.spread, row.seeds) for row in scores.itertuples()}
    assert found["rgi", "standard/psnr"] == (fmean([30.1, 30.4, 30.2]), (30.4 - 30.1) / 2, 3)
    assert found["rgi", "images"] == (60, 0, 2)
    assert found["NA", "standard/psnr"] == (0.1 + 0.2, 0, 1)
    assert np.isnan(found["rgi", "reference/dice"][0])
    assert list(found) == [
        ("rgi", "standard/psnr"),
        ("rgi", "images"),
        ("rgi", "reference/dice"),
        ("NA", "standard/psnr"),
    ]


@pytest.mark.parametrize("missing", ["task=benchmark", "task=benchmark benchmark=demo benchmark.methods=[nonsense]"])
def test_invalid_benchmarks_are_refused_before_the_first_run(missing, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert in_process(monkeypatch, *missing.split()) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "textures_nonsense" in line or "add benchmark=anomaly" in line
