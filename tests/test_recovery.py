"""Recovery study: convergence to the truth for λ → 0, cells of the grid, and continuation of a stopped study."""

import csv
import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from helpers.tiny_gan import tiny_gan
from tqdm import tqdm

from rgi.inversion.start import draw_pool

STUDY = Path(__file__).parents[1] / "experiments" / "recovery"
PENALTIES = (1.0, 0.1, 0.01, 1e-3)
DEFAULTS = {
    "images": 4,
    "fractions": [0.1, 0.2],
    "penalties": [1, 1e-3],
    "fraction": 0.1,
    "penalty": 0.01,
    "continuation_from": 0.1,
    "fill": "noise",
    "iterations": 2,
}


@pytest.fixture(scope="module")
def recovery() -> Any:
    """The module of the study, which does not belong to the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STUDY)
        spec = importlib.util.spec_from_file_location("recovery", STUDY / "study.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "recovery", module)  # dataclasses need the module in sys.modules
        spec.loader.exec_module(module)
        yield module


def settings(recovery: Any, **changes: Any) -> Any:
    return recovery.Settings(**DEFAULTS | changes)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def summary(recovery: Any, errors: dict[str, list[float]]) -> dict[str, float]:
    """Row values of one cell in the table of the study, by metric."""
    images = pd.DataFrame({**recovery.Cell("rgi", 0.1, 1.0, "basin").columns, **errors})
    return recovery.long_form(images, seed=0).set_index("metric")["value"].to_dict()


@pytest.fixture(scope="module")
def basin(recovery) -> dict[float, dict[str, float]]:
    """Errors of RGI by λ, with a tenth of the pixels corrupted and the start in the basin."""
    gan, tried = tiny_gan(), settings(recovery, iterations=200)
    truth = recovery.sample(gan, tried.images, seed=0)
    errors = {}
    with tqdm(disable=True) as bar:
        for penalty in PENALTIES:
            cell = recovery.Cell("rgi", 0.1, penalty, "basin")
            errors[penalty] = summary(recovery, recovery.measure(gan, truth, cell, tried, 0, bar))
    return errors


def test_in_the_basin_image_and_mask_converge_to_the_truth(basin, recovery):
    for metric in ("rmse", "mask_error"):
        errors = [basin[penalty][metric] for penalty in PENALTIES]
        assert all(smaller < larger for larger, smaller in pairwise(errors)), (metric, errors)
    assert basin[PENALTIES[-1]]["rmse"] < recovery.SUCCESS_RMSE / 4
    assert basin[PENALTIES[-1]]["mask_error"] < 0.02
    assert basin[PENALTIES[-1]]["success_rate"] == 1


def test_with_a_very_small_penalty_the_mask_covers_all_pixels(recovery):
    gan, tried = tiny_gan(), settings(recovery, iterations=30)
    truth = recovery.sample(gan, tried.images, seed=0)
    cell = recovery.Cell("rgi", 0.1, 1e-9, "pool")
    with tqdm(disable=True) as bar:
        found = summary(recovery, recovery.measure(gan, truth, cell, tried, 0, bar))
    assert found["mask_error"] == pytest.approx(0.9, abs=0.02)  # M = 1 on the nine tenths of intact pixels
    assert found["success_rate"] == 0


def test_the_pool_is_independent_of_the_truth(recovery):
    """With the same random generator, the pool would begin with the true codes."""
    gan = tiny_gan()
    pool = draw_pool(1000, gan.card.latent_dim, "normal", seed=0)
    assert torch.cdist(recovery.sample(gan, 16, seed=0).latent, pool).min() > 0.1


def test_corruption_is_nested_and_changes_no_other_pixels(recovery):
    truth = recovery.sample(tiny_gan(), 3, seed=1)
    (some, few), (other, many) = (recovery.corrupt(truth, fraction, "noise", seed=1) for fraction in (0.1, 0.4))
    assert (few <= many).all()
    torch.testing.assert_close(torch.stack([few.mean(), many.mean()]), torch.tensor([0.1, 0.4]), atol=1e-3, rtol=0)
    assert torch.where(few.bool(), truth.clean, some).equal(truth.clean)
    assert torch.where(few.bool(), some, 0).equal(torch.where(few.bool(), other, 0))


def test_the_tables_have_all_cells_of_the_grid(tmp_path, recovery):
    tried = settings(recovery)
    recovery.run(tiny_gan(), tried, tmp_path, seed=3)
    rows, images = table(tmp_path / "table.csv"), table(tmp_path / "per_image.csv")
    assert list(rows[0]) == ["fraction", "lambda", "method", "start", "continuation", "metric", "seed", "value"]
    cells = {(row["fraction"], row["lambda"], row["method"], row["start"], row["continuation"]) for row in rows}
    for start in ("basin", "pool"):
        assert {cell[:3] + cell[4:] for cell in cells if cell[3] == start} == {
            *((fraction, "", method, "False") for fraction in ("0.1", "0.2") for method in ("l1", "l2")),
            *((fraction, "0.01", "rgi", "False") for fraction in ("0.1", "0.2")),
            *(("0.1", penalty, "rgi", "False") for penalty in ("1.0", "0.001")),
            ("0.1", "0.001", "rgi", "True"),  # λ = 1 is larger than the first λ of a continuation
        }
    metrics = {method: {row["metric"] for row in rows if row["method"] == method} for method in ("rgi", "l1")}
    assert metrics == {"rgi": {"rmse", "mask_error", "success_rate"}, "l1": {"rmse", "success_rate"}}
    assert len(images) == len(cells) * tried.images
    for row in rows:
        if row["metric"] == "rmse":
            same = [float(each["rmse"]) for each in images if all(each[name] == row[name] for name in list(row)[:5])]
            assert sum(same) / tried.images == pytest.approx(float(row["value"]))
    assert {path.stem for path in (tmp_path / "cells").iterdir()} == {cell.name for cell in recovery.grid(tried)}
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_finished_cells_are_not_measured_again(tmp_path, monkeypatch, recovery):
    gan, tried = tiny_gan(), settings(recovery, images=2)
    recovery.run(gan, tried, tmp_path, seed=0)
    first = {file: file.read_text() for file in sorted(tmp_path.glob("*.csv"))}
    missing = sorted((tmp_path / "cells").iterdir())[::4]
    for file in missing:
        file.unlink()
    measured = []
    measure = recovery.measure
    monkeypatch.setattr(recovery, "measure", lambda *given: measured.append(given[2].name) or measure(*given))
    recovery.run(gan, tried, tmp_path, seed=0)
    assert sorted(measured) == [file.stem for file in missing]
    assert {file: file.read_text() for file in first} == first


def test_a_folder_with_another_study_is_refused(tmp_path, recovery):
    recovery.run(tiny_gan(), settings(recovery), tmp_path, seed=0)
    with pytest.raises(SystemExit, match="holds a study with other settings"):
        recovery.run(tiny_gan(), settings(recovery, fill="image"), tmp_path, seed=0)
