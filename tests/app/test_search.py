"""Searches: trials of several workers in one study, killed and failing trials, an experiment with the best options."""

import copy
import csv
import importlib.util
import os
import re
import sys
import time
from pathlib import Path

import pytest
from helpers.composed import composed
from helpers.two_processes import use_few_octaves
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.trial import TrialState

from rgi.app import runs, solve
from rgi.app.grid import CONF
from rgi.app.main import run_task
from rgi.app.search import best_options, search, study
from rgi.app.search.search_options import leaves, search_options
from rgi.errors import InputError

PCA = [
    *("task=search", "experiment=textures_pca", "dataset.category=grass", "search=rgi", "search.images=[2,3]"),
    *("~search.space.solver", "+search.space.baseline.components=[2,3,4]"),
]
SPACE = {"solver.lr_latent", "solver.mask_penalty", "solver.iterations"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Small metrics and a small fit; the report of a run has tests of its own."""
    use_few_octaves(monkeypatch.setattr)
    monkeypatch.setattr(solve, "BASELINE_IMAGES", 8)
    monkeypatch.setattr(solve, "write_page", lambda folder, *_: folder)


def trials_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_search_continues_reports_failures_and_writes_an_experiment(tmp_path, monkeypatch, capsys):
    """The same command with more trials keeps the finished ones; the experiment composes to the best trial."""
    folder, chosen, calls = tmp_path / "found", solve.chosen_method, []

    def second_fails(*arguments):
        calls.append(arguments)
        if len(calls) == 3:  # the first call checks the search itself
            raise InputError("baseline.components=3: made to fail")
        return chosen(*arguments)

    monkeypatch.setattr(solve, "chosen_method", second_fails)
    run_task(composed(*PCA, "search.trials=2", f"output_dir={folder}"))
    first, failed = trials_of(folder)
    assert (first["state"], first["images"], first["metric"]) == ("finished", "3", "painted/standard/pixel_auroc")
    assert (failed["state"], failed["reason"]) == ("failed", "baseline.components=3: made to fail")
    run = OmegaConf.load(folder / "trials/0000/config.yaml")
    assert run.name == "textures_pca on held-out clean images with painted damage"
    assert run.scored.images == [2, 3]
    metrics = folder / "trials/0000/metrics.json"
    score = f'"standard/pixel_auroc": {first["value"]}'
    assert score in metrics.read_text()
    written = metrics.stat().st_mtime_ns
    capsys.readouterr()

    run_task(composed(*PCA, "search.trials=3", f"output_dir={folder}"))
    assert [trial["state"] for trial in trials_of(folder)] == ["finished", "failed", "finished"]
    assert metrics.stat().st_mtime_ns == written
    *_, best, command, page = capsys.readouterr().out.splitlines()
    assert best.startswith("best: painted/standard/pixel_auroc 0.")
    assert command.endswith(f"--config-dir {folder} experiment=best")
    text = Path(page).read_text()
    assert "made to fail" in text
    assert "best.yaml" in text
    assert not re.findall(r'(?:src|href)="(?!#|trials/)|url\((?!#)', text)  # it loads nothing from elsewhere

    done = [trial for trial in trials_of(folder) if trial["state"] == "finished"]
    components = int(max(done, key=lambda trial: float(trial["value"]))["baseline.components"])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = compose("config", ["experiment=best", f"hydra.searchpath=[file://{folder}]"])
    expected = composed("experiment=textures_pca", "dataset.category=grass", f"baseline.components={components}")
    assert {**found, "name": ""} == {**expected, "name": ""}

    with pytest.raises(SystemExit):
        run_task(composed(*PCA, "search.images=[3]", "baseline.seed=1", f"output_dir={folder}"))
    assert "study of another search (different: baseline.seed, search.images)" in capsys.readouterr().err


def test_poor_trials_stop_after_their_first_images(tmp_path, capsys):
    """And a metric of labelled images comes with a warning, in the output and on the page."""
    pruner = ["search.pruner._target_=optuna.pruners.ThresholdPruner", "~search.pruner.n_startup_trials"]
    options = [*pruner, "+search.pruner.lower=2", "search.trials=1", "search.metric=standard/pixel_auroc"]
    with pytest.raises(SystemExit):
        run_task(composed(*PCA, *options, f"output_dir={tmp_path}"))
    (trial,) = trials_of(tmp_path)
    assert (trial["state"], trial["images"]) == ("pruned", "2")
    assert len(list((tmp_path / "trials/0000/results").rglob("*.npz"))) == 2
    assert "no trial has finished" in capsys.readouterr().err
    assert "computed from the test images and their labels" in (tmp_path / "search.html").read_text()


def opened(folder: Path, *overrides: str) -> study.Study:
    """A worker of a study without images."""
    cfg = composed("task=search", "experiment=textures_rgi", "search=rgi", *overrides)
    folder.mkdir(exist_ok=True)
    return study.Study(cfg, folder, search_options(cfg), {"experiment": "textures_rgi"})


def test_workers_share_the_trials_and_continue_killed_ones(tmp_path):
    """A lock that the system has released tells that a worker of this machine is gone."""
    one, other = opened(tmp_path, "search.trials=3"), opened(tmp_path, "search.trials=3")
    first, second = one.next_trial(), other.next_trial()
    assert first.params.keys() == SPACE
    assert first.params != second.params
    one.finish(first, 0.5, TrialState.COMPLETE, "")
    runs.close_run()  # what the system does when a process is killed: the second trial has not finished
    third = one.next_trial()
    assert third.params == second.params
    assert one.trial_folder(third) == tmp_path / "trials/0001"
    last = other.next_trial()
    assert last.number == 3
    assert one.next_trial() is None
    assert [row.state for row in one.rows()] == ["finished", "killed", "running", "running"]
    assert one.rows()[1].reason == "continued as trial 2"
    runs.close_run()
    one.finish(second, 0.9, TrialState.COMPLETE, "")  # its worker was alive after all, and comes too late
    assert one.best().number == 0
    again = opened(tmp_path / "again", "search.trials=3")
    assert again.next_trial().params == first.params
    runs.close_run()


def test_a_trial_of_another_machine_is_lost_when_its_worker_is_silent(tmp_path, monkeypatch):
    """After three kills it counts as failed, because its options may be what kills it."""
    worker, before = opened(tmp_path, "search.trials=1"), time.time() - 2 * study.SILENCE
    for start in range(study.ATTEMPTS):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(study.socket, "gethostname", lambda: "elsewhere")
            assert worker.next_trial().number == start
        runs.close_run()
        assert worker.next_trial() is None
        os.utime(tmp_path / "trials/0000" / study.ALIVE, (before, before))
    assert worker.next_trial() is None
    assert [row.state for row in worker.rows()] == ["killed"] * study.ATTEMPTS
    assert worker.rows()[-1].reason == "3 times killed"


def test_a_damaged_study_and_a_wrong_sampler_are_named(tmp_path):
    with pytest.raises(InputError, match=r"search.sampler: .*nowhere"):
        opened(tmp_path, "search.sampler._target_=nowhere.Sampler")
    (tmp_path / "study.log").write_text("nonsense\n" * 3)
    with pytest.raises(InputError, match=r"study.log: is damaged"):
        opened(tmp_path)


@pytest.mark.parametrize("preset", sorted(path.stem for path in (CONF / "search").glob("*.yaml")))
def test_presets_search_options_that_exist(preset):
    """The metric needs no labels, and the middle of a range is a valid configuration."""
    cfg = composed("experiment=textures_rrgi", "task=search", f"search={preset}")
    options = search_options(cfg)
    assert not options.warning
    for name, values in leaves(options.space):
        value = values[0] if isinstance(values, list) else study.distribution(values).high
        OmegaConf.update(cfg, name, value)
    solve.solver_config(cfg.solver, "r_rgi", "invert")


WRONG = [
    ("search", None, "search: not given; add search=rgi"),
    ("search.metric", "pixel_auroc", "search.metric=pixel_auroc: must be one of standard/pixel_auroc"),
    ("search.metric", "painted/standard/image_auroc", "needs images without defects"),
    ("solver.mask", "none", "this method finds no mask"),
    ("search.images", [8, 4], "search.images=[8,4]: must ascend"),
    ("search.images", 8, "search.images=8: must be a list"),
    ("search.trials", 0, "search.trials=0: must be a whole number"),
    ("search.budget", 1, "search.budget: no such option"),
    ("search.space.dataset.seed", [1, 2], "search.space.dataset.seed: cannot be searched here"),
    ("search.space.solver.lr_latnt", [1, 2], "solver.lr_latnt is no option"),
    ("search.space.solver.mask", "profiled", "must be a list of values, or a range"),
    ("search.space.solver.starts", {"low": "a", "high": "b"}, "low, high and step must be numbers"),
    ("search.space.solver.mask_penalty.low", 5, "low must not be above high"),
    ("baseline", {}, "search.space.solver.mask_penalty: cannot be searched here"),
    ("search.space", {}, "search.space: is empty"),
    ("trainer.devices", 2, "a trial runs on one device"),
]


@pytest.mark.parametrize(("option", "value", "message"), WRONG)
def test_wrong_input_is_named_before_work_starts(option, value, message, right, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = copy.deepcopy(right)
    with open_dict(cfg):
        OmegaConf.update(cfg, option, value, merge=False)
    with pytest.raises(InputError, match=re.escape(message)):
        search.search(cfg)
    assert not list(tmp_path.rglob("study.log"))


@pytest.fixture(scope="module")
def right() -> DictConfig:
    """The configuration of a search."""
    options = ["search.metric=clean/false_positive_rate", "trainer=ddp", "trainer.devices=1", "trainer.accelerator=cpu"]
    return composed("task=search", "experiment=textures_rgi", "search=rgi", *options)


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else find(name))
    with pytest.raises(InputError, match=r"optuna is missing; .*robust-gan-inversion\[search\]"):
        search.search(composed(*PCA))


def test_the_command_of_the_best_options_finds_the_users_own_experiments(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/rgi"])
    composed("task=search", "search=rgi", f"hydra.searchpath=[file://{tmp_path}]")
    expected = f"rgi --config-dir found experiment=best 'hydra.searchpath=[file://{tmp_path}]'"
    assert best_options.command(Path("found")) == expected
    typed = [
        "task=search",
        "experiment=mine",
        "~corruption",
        "solver=r_rgi",
        "dataset.category='03'",
        "+solver.x=[1,null]",
    ]
    text = best_options.experiment(typed, {"solver.mask": "none", "solver.starts": 3}, ["a note"])
    assert text.startswith("# @package _global_\n# a note\n")
    assert OmegaConf.create(text) == {
        "defaults": ["mine", {"override /corruption": None}, {"override /solver": "r_rgi"}, "_self_"],
        "dataset": {"category": "03"},
        "solver": {"x": [1, None], "mask": "none", "starts": 3},
    }
