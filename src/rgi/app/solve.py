"""The tasks that solve test images: invert, predict and compare.

Every task checks in the same order: options, dataset, generator. Work starts when all checks have passed.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from rgi.app import logs, run_files, runs
from rgi.app.dry_run import measure, plan
from rgi.app.options import baseline, check_methods, generator, image_set, make, prepare, solver_config
from rgi.app.pictures.predict import predict_pictures
from rgi.app.record import comparison, long_form, write_page
from rgi.data.protocol import ImageSet, evenly_spaced, selected
from rgi.errors import InputError
from rgi.evaluation.base import TestModule
from rgi.evaluation.clean_images import (
    KINDS_FROM_CLEAN,
    check_used,
    choose_map,
    fix_threshold,
    learn_from_clean_images,
    threshold_images,
)
from rgi.evaluation.loader import TestData
from rgi.evaluation.memory import PeakMemory
from rgi.evaluation.modules import BaselineModule, InversionModule
from rgi.evaluation.results import image_rows
from rgi.inversion.config import SolverConfig
from rgi.validation import typed

log = logging.getLogger(__name__)
BASELINE_IMAGES = 5000  # highest number of images for the fit of a baseline
SHOWN = (  # scores that a run prints; metrics.json has all scores
    *(f"standard/{name}" for name in ("pixel_auroc", "aupro", "pixel_ap", "best_f1", "image_auroc", "psnr", "ssim")),
    "images",
    "seconds_per_image",
)
Methods = dict[str, Callable[[Path], TestModule]]  # functions from a folder of results to a module


def invert(cfg: DictConfig) -> None:
    """Solve the test images with one method, score the results, and write the report."""
    _solve(cfg, _solver_of(cfg), Trainer.test)


def predict(cfg: DictConfig) -> None:
    """Solve pictures of any size (``input=...``), or the test images of a dataset without scoring them."""
    if cfg.input is not None:
        predict_pictures(cfg)
        return
    _solve(cfg, _solver_of(cfg), Trainer.predict)


def compare(cfg: DictConfig) -> None:
    """Solve the same test images with several methods, score the results, and compare them in one report."""
    if not cfg.methods:
        raise InputError(f"methods={typed(cfg.methods)}: has no methods; add methods as in conf/experiment/demo.yaml")
    _solve(cfg, dict(cfg.methods), Trainer.test)


def _solver_of(cfg: DictConfig) -> dict[str, DictConfig]:
    """The chosen solver by the name of its method; conf/solver/reference/rgi.yaml has the name reference_rgi."""
    return {str(HydraConfig.get().runtime.choices.solver).replace("/", "_"): cfg.solver}


def _solve(cfg: DictConfig, solvers: dict[str, DictConfig], loop: Callable[..., Any]) -> None:
    """Check options, dataset and generator, and run all methods on the test images."""
    images, methods = _checked(cfg, solvers)
    if loop is Trainer.test:
        threshold_images(images, cfg.map.false_positive_rate)  # a wrong file is an error here, before the work
    if cfg.dry_run:
        print(_plan(cfg, images, methods, scored=loop is Trainer.test))
        return
    run_methods(cfg, images, methods, loop)


def plan_of_invert(cfg: DictConfig) -> plan.Plan:
    """The plan of the task ``invert``, after its checks."""
    return _plan(cfg, *_checked(cfg, _solver_of(cfg)), scored=True)


def plan_of(cfg: DictConfig, images: ImageSet) -> plan.Plan:
    """The plan of the chosen method on a prepared dataset, see `chosen_method`."""
    return _plan(cfg, images, chosen_method(cfg, images), scored=True)


def _checked(cfg: DictConfig, solvers: dict[str, DictConfig]) -> tuple[ImageSet, Methods]:
    """The images and the methods, when all checks have passed."""
    configs = _configs(cfg, solvers)
    images = image_set(cfg)
    prepare(cfg, images, training=False)
    return images, _methods(cfg, configs, images)


def _plan(cfg: DictConfig, images: ImageSet, methods: Methods, scored: bool) -> plan.Plan:
    modules = [module_for(Path(method)) for method, module_for in methods.items()]  # nothing is written there
    return plan.of_methods(cfg, images, modules, scored)


def chosen_method(cfg: DictConfig, images: ImageSet) -> Methods:
    """The chosen solver or baseline on a prepared dataset.

    Args:
        cfg: configuration of the task invert.
        images: dataset, checked and ready.

    Raises:
        InputError: the method's options are wrong, or do not suit the images or the generator.
    """
    return _methods(cfg, _configs(cfg, _solver_of(cfg)), images)


def _configs(cfg: DictConfig, solvers: dict[str, DictConfig]) -> dict[str, SolverConfig]:
    """The checked options of all solvers; empty with a baseline."""
    if OmegaConf.select(cfg, "baseline") is not None:
        return {}
    return {name: solver_config(solver, name, cfg.task) for name, solver in solvers.items()}


def _methods(cfg: DictConfig, configs: dict[str, SolverConfig], images: ImageSet) -> Methods:
    is_baseline = OmegaConf.select(cfg, "baseline") is not None
    return _baseline(cfg, images) if is_baseline else _inversions(cfg, configs, images)


def run_methods(cfg: DictConfig, images: ImageSet, methods: Methods, loop: Callable[..., Any]) -> None:
    """Run methods on the test images, and write tables and report.

    Args:
        cfg: configuration of the run.
        images: dataset, checked and ready.
        methods: methods of the run.
        loop: `Trainer.predict`, or `Trainer.test` or a function like it, which scores the results.
    """
    folder = runs.open_run(cfg)
    scores: dict[str, dict[str, float]] = {}
    settings: dict[str, dict[str, Any]] = {}
    table: list[dict[str, Any]] = []
    for method, module_for in methods.items():
        # The solver needs gradients, which Lightning's inference mode would disable.
        trainer = make(cfg, "trainer", logger=False, enable_progress_bar=False, inference_mode=False)
        with PeakMemory(trainer.strategy.root_device) as memory:
            module = module_for(folder / "results" / method)
            _run(cfg, trainer, module, images, loop)
        if trainer.is_global_zero:
            rows = image_rows(module.results, images.test().names, method)
            scores[method] = {name: value.item() for name, value in trainer.callback_metrics.items()}
            scores[method] |= _cost(rows, memory.peak)
            settings[method] = module.settings | {"seed": cfg.seed, "seconds": sum(row["seconds"] for row in rows)}
            settings[method] |= {"note": note} if (note := images.note) else {}
            table += rows
    if scores:  # empty on all processes except the first
        runs.add_settings(folder, settings)
        _record(cfg, folder, images.category, scores, table, settings)
        for method in methods:  # when all files are complete, because a logger may fail
            rows = [row for row in table if row["method"] == method]
            logs.log_method(cfg, method, folder, scores[method], rows, settings[method])
        logs.raise_failures(folder)
        (folder / run_files.UNLOGGED).unlink()


def _run(cfg: DictConfig, trainer: Trainer, module: TestModule, images: ImageSet, loop: Callable[..., Any]) -> None:
    """Solve clean images if the method needs them, then the test images."""
    scored = loop is not Trainer.predict
    quiet = {"verbose": False} if scored else {"return_predictions": False}
    module.tiles_at_once = cfg.batch_size
    try:
        if isinstance(module, InversionModule) and module.map_kind in KINDS_FROM_CLEAN:
            learn_from_clean_images(module, trainer, images, cfg.batch_size)
        if scored:
            fix_threshold(module, trainer, images, cfg.batch_size, cfg.map.false_positive_rate)
        loop(trainer, module, datamodule=TestData(images.test(), cfg.batch_size), **quiet)
    finally:
        module.bar.close()  # so that an error message is printed below the bar
    trainer.strategy.barrier()  # all processes have written their results


def _cost(rows: list[dict[str, Any]], peak_memory: float) -> dict[str, float]:
    """Number of images, time, memory and evaluations; the memory is the peak while the method ran."""
    cost = {"images": len(rows), "seconds_per_image": fmean(row["seconds"] for row in rows)}
    cost["peak_memory_mib"] = peak_memory
    if "evaluations" in rows[0]:
        cost["evaluations_per_image"] = fmean(row["evaluations"] for row in rows)
    return cost


def _record(
    cfg: DictConfig,
    folder: Path,
    category: str,
    scores: dict[str, dict[str, float]],
    table: list[dict[str, Any]],
    settings: dict[str, dict[str, Any]],
) -> None:
    """Write tables and report, and print the scores."""
    # As text: an undefined number is "nan" in the file, and a number that the method does not have is an empty cell.
    texts = [{name: str(value) for name, value in row.items()} for row in table]
    pd.DataFrame(texts).to_csv(folder / "per_image.csv", index=False)
    maps = {method: values["map"] for method, values in settings.items()}
    long_form(scores, cfg, category, maps).to_csv(folder / "table.csv", index=False, na_rep="nan")
    for method, values in scores.items():
        shown = {name: values[name] for name in SHOWN if name in values}
        print(f"{method}: " + ", ".join(f"{name} {value:.4g}" for name, value in shown.items()))
    seen = comparison(scores, restored=OmegaConf.select(cfg, "corruption") is not None)
    if seen:
        print(seen)
    page = write_page(folder, cfg.name, scores)
    (folder / run_files.UNLOGGED).touch()
    run_files.write_json(folder / "metrics.json", scores)  # last: this file marks the run as finished
    print(page)


def _inversions(cfg: DictConfig, configs: dict[str, SolverConfig], images: ImageSet) -> Methods:
    """Functions that make the modules of the solvers, after checks of generator and images."""
    gan = generator(cfg, images)
    check_methods(cfg, configs, images, gan)
    kind, features = choose_map(cfg.map.kind, cfg.map.features, images, gan)
    OmegaConf.update(cfg, "generator.sha256", gan.card.sha256, force_add=True)
    options = {"map_kind": kind, "features": features, "sigma": cfg.map.sigma, "seed": cfg.seed}
    return {name: partial(InversionModule, gan, config, name, **options) for name, config in configs.items()}


def _baseline(cfg: DictConfig, images: ImageSet) -> Methods:
    """Function that fits the chosen baseline and makes its module; a dry run fits it to a few images."""
    method, clean = HydraConfig.get().runtime.choices.baseline, images.train()
    chosen = evenly_spaced(len(clean), BASELINE_IMAGES)
    check_used(clean, chosen)
    unfitted = baseline(cfg, images)
    device = make(cfg, "trainer", logger=False).strategy.root_device

    def fitted(results: Path) -> TestModule:
        if cfg.dry_run:
            learned = measure.fitted_baseline(unfitted, clean, len(chosen), device)
        else:
            learned = unfitted.fit(selected(clean, chosen), device)
            log.info("%s: fitted in %.1f s", method, learned.seconds)
        return BaselineModule(learned, method, results, cfg.map.sigma)

    return {method: fitted}
