"""The experiment on the paper's claim: what its grid holds, what it finds where the claim must hold, how it resumes."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_gan
from tqdm import tqdm

from rgi import recovery
from rgi.errors import InputError
from rgi.inversion.start import draw_pool
from rgi.recovery import SUCCESS, Settings

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


def settings(**changes: Any) -> Settings:
    return Settings(**DEFAULTS | changes)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def basin() -> dict[float, dict[str, float]]:
    """Scores of RGI by λ, a tenth of the pixels corrupted, from the basin."""
    gan, tried = tiny_gan(), settings(iterations=200)
    truth = recovery.sample(gan, tried.images, seed=0)
    found = {}
    with tqdm(disable=True) as bar:
        for penalty in PENALTIES:
            cell = recovery.Cell("rgi", 0.1, penalty, "basin")
            found[penalty] = recovery.summary(recovery.measure(gan, truth, cell, tried, 0, bar))
    return found


def test_in_the_basin_image_and_mask_tend_to_the_truth(basin):
    for metric in ("rmse", "mask_error"):
        errors = [basin[penalty][metric] for penalty in PENALTIES]
        assert all(smaller < larger for larger, smaller in pairwise(errors)), (metric, errors)
    assert basin[PENALTIES[-1]]["rmse"] < SUCCESS / 4
    assert basin[PENALTIES[-1]]["mask_error"] < 0.02
    assert basin[PENALTIES[-1]]["success_rate"] == 1


def test_a_penalty_far_too_small_stalls_with_everything_masked():
    gan, tried = tiny_gan(), settings(iterations=30)
    truth = recovery.sample(gan, tried.images, seed=0)
    cell = recovery.Cell("rgi", 0.1, 1e-9, "pool")
    with tqdm(disable=True) as bar:
        found = recovery.summary(recovery.measure(gan, truth, cell, tried, 0, bar))
    assert found["mask_error"] == pytest.approx(0.9, abs=0.02)  # M = 1 on the nine tenths that are right
    assert found["success_rate"] == 0


def test_the_pool_knows_nothing_of_the_truth():
    """Drawn from one seed, the two would begin with the same numbers."""
    gan = tiny_gan()
    pool = draw_pool(1000, gan.card.latent_dim, "normal", seed=0)
    assert torch.cdist(recovery.sample(gan, 16, seed=0).latent, pool).min() > 0.1


def test_corruption_is_nested_and_leaves_the_rest_alone():
    truth = recovery.sample(tiny_gan(), 3, seed=1)
    (some, few), (other, many) = (recovery.corrupt(truth, fraction, "noise", seed=1) for fraction in (0.1, 0.4))
    assert (few <= many).all()
    torch.testing.assert_close(torch.stack([few.mean(), many.mean()]), torch.tensor([0.1, 0.4]), atol=1e-3, rtol=0)
    assert torch.where(few.bool(), truth.clean, some).equal(truth.clean)
    assert torch.where(few.bool(), some, 0).equal(torch.where(few.bool(), other, 0))


def test_the_tables_hold_what_the_grid_says(tmp_path):
    tried = settings()
    recovery.run(tiny_gan(), tried, tmp_path, seed=3)
    rows, images = table(tmp_path / "table.csv"), table(tmp_path / "per_image.csv")
    assert list(rows[0]) == ["fraction", "lambda", "method", "start", "continuation", "metric", "seed", "value"]
    cells = {(row["fraction"], row["lambda"], row["method"], row["start"], row["continuation"]) for row in rows}
    for start in ("basin", "pool"):
        assert {cell[:3] + cell[4:] for cell in cells if cell[3] == start} == {
            *((fraction, "", method, "False") for fraction in ("0.1", "0.2") for method in ("l1", "l2")),
            *((fraction, "0.01", "rgi", "False") for fraction in ("0.1", "0.2")),
            *(("0.1", penalty, "rgi", "False") for penalty in ("1", "0.001")),
            ("0.1", "0.001", "rgi", "True"),  # λ = 1 is larger than what a continuation begins at
        }
    metrics = {method: {row["metric"] for row in rows if row["method"] == method} for method in ("rgi", "l1")}
    assert metrics == {"rgi": {"rmse", "mask_error", "success_rate"}, "l1": {"rmse", "success_rate"}}
    assert len(images) == len(cells) * tried.images
    for row in rows:
        if row["metric"] == "rmse":
            same = [float(each["rmse"]) for each in images if all(each[name] == row[name] for name in list(row)[:5])]
            assert sum(same) / tried.images == pytest.approx(float(row["value"]))
    assert json.loads((tmp_path / "metrics.json").read_text()).keys() == {c.name for c in recovery.grid(tried)}
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_finished_cells_are_read_back(tmp_path, monkeypatch):
    gan, tried = tiny_gan(), settings(images=2)
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


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("images", 0, "a whole number of at least 1"),
        ("images", "many", "a whole number of at least 1"),
        ("iterations", 0.5, "a whole number of at least 1"),
        ("fractions", [0.1, 1], "above 0 and below 1"),
        ("fractions", 0.1, "a list of numbers"),
        ("fractions", [], "a list of numbers"),
        ("fraction", 0, "above 0 and below 1"),
        ("penalties", [1, 0], "above 0"),
        ("penalties", [1, "auto"], "above 0"),
        ("penalty", -1, "above 0"),
        ("continuation_from", float("inf"), "above 0"),
        ("fill", "zeros", "one of noise, constant, image"),
    ],
)
def test_bad_options_are_named(option, value, remedy):
    with pytest.raises(InputError) as error:
        settings(**{option: value})
    assert str(error.value).startswith(f"recovery.{option}={value}: must be ")
    assert remedy in str(error.value)
