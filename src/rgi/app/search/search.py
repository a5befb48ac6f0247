"""Searches: many runs with different options, scored by one metric, and an experiment file with the best options.

A trial is a run of the task invert with a folder of its own. Its first images are scored first: the pruner may stop it
there. The results of these images are kept, so the rest of the trial costs no more than a run without a stop.
"""

import contextlib
import copy
import importlib.util
import io
import logging
import math
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning import Trainer

from rgi.app import grid, logs, run_files, runs, solve
from rgi.app.dry_run import plan
from rgi.app.jobs import launch
from rgi.app.options import image_set, make, prepare
from rgi.app.search import best_options
from rgi.app.search.search_options import CLEAN, FILES, PAINTED, SearchOptions, leaves, search_options
from rgi.data.protocol import ImageSet, TestSet
from rgi.errors import InputError
from rgi.evaluation.base import TestModule
from rgi.evaluation.held_out import clean_scores, clean_tests, evenly_spaced_part, painted_tests, with_tests
from rgi.evaluation.loader import TestData
from rgi.report.search import SearchResults, short_number, value_text, write_search
from rgi.validation import typed

if TYPE_CHECKING:
    from optuna.trial import Trial

    from rgi.app.search.study import Study

log = logging.getLogger(__name__)
Report = Callable[[float, int], bool]  # takes a value and its number of images; returns whether to stop the trial


class Pruned(Exception):
    """The first images of a trial were poor."""


def search(cfg: DictConfig) -> None:
    """Run trials until the study has all of them, and write page, table and experiment file after each.

    Args:
        cfg: configuration with the group ``search``.

    Raises:
        InputError: an option is wrong, optuna is missing, the folder has another search, or no trial has finished.
    """
    options = search_options(cfg)
    if importlib.util.find_spec("optuna") is None:
        raise InputError("task=search: optuna is missing; install it with pip install 'robust-gan-inversion[search]'")
    from rgi.app.search.study import Study, beating

    launch.refuse("task=search", "start one command for each worker, without a launcher")
    if make(cfg, "trainer", logger=False).world_size > 1:
        raise InputError("trainer: a trial runs on one device; add trainer.devices=1, and start more workers instead")
    images = image_set(cfg)
    prepare(cfg, images)
    plain = _trial_config(cfg, options, {})
    _check_metric(cfg, options)
    scored = with_tests(images, _scored_tests(cfg, images, options))
    folder = Path(cfg.output_dir or f"outputs/search/{cfg.name}-{images.category}/{_preset()}")
    if cfg.dry_run:
        print(_plan(solve.plan_of(copy.deepcopy(plain), scored), options, folder))
        return
    solve.chosen_method(copy.deepcopy(plain), scored)  # its errors appear before work starts
    run_files.check_writable(f"output_dir={folder}", folder)
    study = Study(cfg, folder, options, _identity(plain, options))
    log.info("%s over %d %s", options.metric, len(scored.test()), options.scored_images)
    if options.warning:
        log.warning("note: %s", options.warning)
    while (trial := study.next_trial()) is not None:
        with beating(study.trial_folder(trial)):
            _run_trial(cfg, study, trial, scored)
        _write(cfg, study)
    _conclude(study, _write(cfg, study))


def _plan(trial: plan.Plan, options: SearchOptions, folder: Path) -> plan.Plan:
    """The plan of all trials from that of one with the options as typed; pruned trials take less."""
    seconds = options.trials * trial.seconds
    lines = [(topic, text) for topic, text in trial.lines if topic not in ("task", "time", "writes")]
    of_all = f"at most about {plan.duration(seconds)} for {options.trials} trials"
    return plan.Plan(
        [
            ("task", "search"),
            ("metric", f"{options.metric} over {options.scored_images}"),
            *lines,
            ("time", f"about {plan.duration(trial.seconds)} for a trial, {of_all}"),
            ("writes", f"{folder}/ with search.html, table.csv, experiment/best.yaml and a folder for each trial"),
        ],
        seconds,
    )


def _preset() -> str:
    return str(HydraConfig.get().runtime.choices.search)


def _scored_tests(cfg: DictConfig, images: ImageSet, options: SearchOptions) -> TestSet:
    """The test images that decide: painted ones, clean ones, or labelled ones."""
    limit = options.images[-1]
    if options.data == PAINTED:
        painter = OmegaConf.merge(OmegaConf.load(grid.CONF / "corruption/defects.yaml"), {"seed": cfg.seed})
        return painted_tests(images, instantiate(painter), limit)
    return clean_tests(images, limit) if options.data == CLEAN else evenly_spaced_part(images.test(), limit)


def _check_metric(cfg: DictConfig, options: SearchOptions) -> None:
    """Raise an error if no trial can have the metric."""
    has_mask = OmegaConf.select(cfg, "baseline") is None and cfg.solver.mask in ("profiled", "adam")
    if options.metric == f"{CLEAN}/false_positive_rate" and not has_mask:
        raise InputError(
            f"search.metric={options.metric}: is the share of pixels that a mask marks, and this method finds no mask; "
            "use search.metric=clean/gap or painted/standard/pixel_auroc"
        )
    if options.metric == f"{PAINTED}/standard/image_auroc":
        raise InputError(
            f"search.metric={options.metric}: needs images without defects, and all of these are painted; "
            "use search.metric=painted/standard/pixel_auroc"
        )


def _trial_config(cfg: DictConfig, options: SearchOptions, values: dict[str, Any]) -> DictConfig:
    """The configuration of a trial: an inversion with the searched values."""
    trial = copy.deepcopy(cfg)
    for name, value in values.items():
        OmegaConf.update(trial, name, value)
    with open_dict(trial):
        del trial["search"]
        trial.task = "invert"
        trial.name = f"{cfg.name} on {options.scored_images}"  # heading of its report, whose scores are of these
        trial.scored = {"metric": options.metric, "images": list(options.images)}
        if options.data:  # the threshold would be from the images that it is scored on
            trial.map.false_positive_rate = None
        if "group" in (trial.get("logger") or {}):
            trial.logger.group = trial.logger.group or f"{cfg.name} {_preset()}"
    return trial


def _identity(plain: DictConfig, options: SearchOptions) -> dict[str, str]:
    """All that decides the value of a trial, by name, for a comparison of two searches."""
    settings = {name: value for name, value in runs.decisive_options(runs.resolved(plain)).items() if name != "scored"}
    values = {"experiment": str(HydraConfig.get().runtime.choices.get("experiment"))}
    values |= {name: typed(value) for name, value in leaves(settings)}
    values |= {"search.metric": options.metric, "search.images": typed(options.images)}
    values |= {f"search.space.{name}": typed(value) for name, value in leaves(options.space)}
    values[FILES] = runs.run_fingerprint(plain)
    return values


def _run_trial(cfg: DictConfig, study: "Study", trial: "Trial", images: ImageSet) -> None:
    """Run one trial, and store its value, or why it has none."""
    from optuna.trial import TrialState

    options, folder, started = study.options, study.trial_folder(trial), time.perf_counter()
    log.info("trial %d: %s", trial.number, _described(trial.params))
    own = _trial_config(cfg, options, trial.params)
    own.output_dir = str(folder)
    values: dict[int, float] = {}

    def report(value: float, count: int) -> bool:
        values[count] = value
        trial.report(value, count)
        return count < len(images.test()) and trial.should_prune()

    state, reason = TrialState.COMPLETE, ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # of a run's scores and page
            solve.run_methods(own, images, solve.chosen_method(own, images), partial(_scores, options, report))
    except Pruned:
        state = TrialState.PRUNED
    except Exception as error:
        if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in run_files.NO_ROOM):
            raise  # no fault of the options: the same command continues this trial
        if not isinstance(error, InputError):
            traceback.print_exc()
        reason = " ".join((str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}").split())
        if max(values, default=0) < len(images.test()) or not (folder / "metrics.json").exists():
            state = TrialState.FAIL  # otherwise only the log of a complete run has failed
    finally:
        logs.close_loggers()
        logs.failures.clear()
    value = values[max(values)] if state == TrialState.COMPLETE else None
    study.finish(trial, value, state, reason)
    runs.close_run()  # after its end is stored, so that no worker takes the trial for lost
    shown = f"{options.metric} {value_text(values[max(values)])}" if values else ""
    word = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}[state]
    text = ", ".join(part for part in (shown, reason) if part)
    log.info("trial %d: %s in %.1f s: %s", trial.number, word, time.perf_counter() - started, text)


def _described(values: dict[str, Any]) -> str:
    """Options and their values in one line."""
    return ", ".join(f"{name}={short_number(typed(value))}" for name, value in values.items())


def _scores(
    options: SearchOptions,
    report: Report,
    trainer: Trainer,
    module: TestModule,
    datamodule: TestData,
    **quiet: Any,
) -> None:
    """Score the first images, then more of them, then all; the values go to the report.

    Raises:
        Pruned: the report says that the trial must stop.
        InputError: the metric is missing or not defined.
    """
    tests = datamodule.images
    for count in sorted({min(count, len(tests)) for count in options.images}):
        part = evenly_spaced_part(tests, count)
        Trainer.test(trainer, module, datamodule=TestData(part, datamodule.batch_size), **quiet)
        if report(_value(options, trainer, module, part.names), count):
            raise Pruned


def _value(options: SearchOptions, trainer: Trainer, module: TestModule, names: list[str]) -> float:
    """The value of the metric over some images.

    Raises:
        InputError: the metric is missing or not defined.
    """
    scores = {name: value.item() for name, value in trainer.callback_metrics.items()}
    if options.data == CLEAN:
        scores |= clean_scores(module.results, names)
        if not module.optimises_mask:  # a mask of zeros marks nothing, whatever the options are
            scores.pop("clean/false_positive_rate", None)
    value = scores.get(options.score, math.nan)
    if not math.isfinite(value):
        why = "is not defined for these images" if options.score in scores else "is no score of this method here"
        raise InputError(f"search.metric={options.metric}: {why}; choose another metric")
    return value


def _write(cfg: DictConfig, study: "Study") -> tuple[Path, SearchResults]:
    """Write page and table, and the experiment file if a trial has finished. Returns the page and what it shows."""
    options = study.options
    found: dict[str, Any] = {}
    with study.door():
        best = study.best()
        if best is not None:
            file = study.folder / "experiment" / "best.yaml"
            file.parent.mkdir(exist_ok=True)
            comment = f"{options.metric} {value_text(best.value)}, trial {best.number} of {study.folder}."
            notes = [comment, *([options.warning] if options.warning else [])]
            text = best_options.experiment(HydraConfig.get().overrides.task, best.params, notes)
            run_files.write_text(file, text)
            found = {"best": best.number, "experiment": text, "command": best_options.command(study.folder)}
        results = SearchResults(
            f"{_preset()} on {cfg.name}",
            options.metric,
            options.direction,
            options.scored_images,
            options.warning,
            study.rows(),
            study.importances(),
            options=list(study.space),
            **found,
        )
        return write_search(study.folder, results), results


def _conclude(study: "Study", written: tuple[Path, SearchResults]) -> None:
    """Print the best options, the failed trials, and the page.

    Raises:
        InputError: no trial has finished, and none is running.
    """
    page, results = written
    failed = [trial for trial in results.trials if trial.state == "failed"]
    running = [trial for trial in results.trials if trial.state in ("running", "waiting")]
    for trial in failed:
        log.warning("trial %d failed: %s", trial.number, trial.reason)
    if running:
        print(f"{len(running)} trials are still running in other workers")
    best = study.best()
    if best is None and not running:
        raise InputError(f"search: no trial has finished; {page} has the reasons; correct them, or the search space")
    if best is not None:
        print(f"best: {results.metric} {value_text(best.value)}, trial {best.number}: {_described(best.params)}")
        print(f"run it: {results.command}")
    if results.warning:
        log.warning("note: %s", results.warning)
    print(page)
