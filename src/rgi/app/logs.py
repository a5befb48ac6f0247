"""The log of each method or training: CSV files, TensorBoard, MLflow, Weights & Biases, or none.

A log is an addition to the files of a run. If a logger fails, the run continues without it, writes its own files, and
reports the failure at the end.
"""

import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from rgi.app import runs, wandb_run
from rgi.app.options import make
from rgi.errors import InputError
from rgi.evaluation.results import load_result
from rgi.report.curves import quartiles, thinned

log = logging.getLogger(__name__)
CALLS = ("log_metrics", "log_hyperparams", "log_graph", "log_image", "log_table", "save", "finalize")
FOLDERS = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")  # environment variables of W&B
EXTRAS = {TensorBoardLogger: "tensorboard", MLFlowLogger: "mlflow"}  # module of a logger, and extra of this package
failures: dict[str, str] = {}  # methods and trainings of this job whose logger has failed, with the reason
_redirected: list[str] = []  # environment variables that this module has set


def check_logger(cfg: DictConfig) -> None:
    """Check the options of the logger, before work starts.

    Raises:
        InputError: an option is wrong, a package is not installed, or an upload needs an account.
    """
    if cfg.get("logger") is None:
        return
    kind = _class(cfg)
    extra = EXTRAS.get(kind)
    if extra is not None and find_spec(extra) is None:
        choice = HydraConfig.get().runtime.choices.logger
        raise InputError(
            f"logger={choice}: needs a package that is not installed; pip install 'robust-gan-inversion[{extra}]'"
        )
    if kind in (MLFlowLogger, WandbLogger):
        _check_names(cfg, kind)
    if kind is not MLFlowLogger:  # which makes its database at once; the others make no file
        make(cfg, "logger", save_dir="outputs")
    if kind is WandbLogger and not wandb_run.is_offline(cfg) and not wandb_run.has_key():
        raise InputError(
            "logger.offline=false: Weights & Biases has no key of an account; run `wandb login`, set WANDB_API_KEY, or "
            "use logger.offline=true"
        )


def method_logger(
    cfg: DictConfig, method: str, folder: Path, since: int | None = None, protocols: Iterable[str] = ()
) -> Logger | None:
    """Create the logger for one method or training; None with ``logger=null``, or if the logger cannot be made.

    Failures of the logger are only noted, see `raise_failures`. `rgi.app.wandb_run.settings` describes the runs of W&B.

    Args:
        cfg: configuration of the run.
        method: name of the method, or ``pretrain`` or ``encode``.
        folder: folder of the run.
        since: step from which a training continues; None for its beginning.
        protocols: names of the protocols of the scores.
    """
    logger = None
    if cfg.get("logger") is not None:
        logger = _attempt(method, _make_logger, cfg, method, folder, since, protocols)
    for name in CALLS:
        if hasattr(logger, name):
            setattr(logger, name, partial(_attempt, method, getattr(logger, name)))
    return logger


def log_method(
    cfg: DictConfig, method: str, folder: Path, scores: dict[str, float], table: list[dict[str, Any]], settings: Any
) -> None:
    """Write the log of a finished method: scores, settings, and how the objective falls.

    W&B also gets a table of pictures and the generator.

    Args:
        cfg: configuration of the run.
        method: name of the method.
        folder: folder of the run.
        scores: scores and cost of the method by metric.
        table: rows of per_image.csv of this method.
        settings: resolved settings of the method by name; the logged configuration holds them as ``resolved``.
    """
    protocols = dict.fromkeys(name.partition("/")[0] for name in scores if "/" in name)
    logger, results = method_logger(cfg, method, folder, protocols=protocols), folder / "results" / method
    if logger is None:
        return
    for step, values in _attempt(method, _convergence, table, results) or ():
        logger.log_metrics(values, step)
    logger.log_metrics(scores)
    if isinstance(logger, WandbLogger):
        logger.log_hyperparams({"resolved": settings})
        pictures = _attempt(method, wandb_run.pictures, table, results)
        logger.log_table("pictures", columns=["name", "score", *wandb_run.PICTURE_COLUMNS], data=pictures)
        _attempt(method, lambda: wandb_run.log_generator(logger.experiment, cfg))
    elif not isinstance(logger, CSVLogger):  # the folder of the run has config.yaml and environment.json
        logger.log_hyperparams({**_plain(cfg), "resolved": settings})
    logger.finalize("success")
    close_loggers(method)


def log_trained(cfg: DictConfig, quality: dict[str, float]) -> None:
    """Add the written generator and its scores to the W&B run of its training, which is still open.

    Args:
        cfg: configuration of the run.
        quality: scores of the generator by metric.
    """
    run = sys.modules["wandb"].run if "wandb" in sys.modules else None
    if run is not None:
        _attempt(cfg.task, run.summary.update, {f"quality/{name}": value for name, value in quality.items()})
        _attempt(cfg.task, wandb_run.log_generator, run, cfg, made=True)


def close_loggers(method: str = "logger") -> None:
    """Finish a W&B run that is still open. Otherwise the next method, training or job would log to the same run."""
    if "wandb" in sys.modules:
        _attempt(method, sys.modules["wandb"].finish)
    while _redirected:
        os.environ.pop(_redirected.pop(), None)


def raise_failures(folder: Path) -> None:
    """Report failed loggers; called when all other files are complete.

    Args:
        folder: folder of the run.

    Raises:
        InputError: a logger has failed.
    """
    if failures:
        reasons = "; ".join(f"{method}: {reason}" for method, reason in failures.items())
        raise InputError(
            f"logger={HydraConfig.get().runtime.choices.logger}: has failed ({reasons}); all results in {folder} are "
            "complete, and only the log is not; correct the options logger.*, or use logger=csv or logger=null"
        )


def _attempt(method: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of a logger; after a failure, this and all later calls for the method return None."""
    if method in failures:
        return None
    try:
        return call(*args, **kwargs)
    except Exception as error:  # a logger can raise anything, and the work must go on
        failures[method] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        log.warning("%s: its logger has failed and is off now", method)
        return None


def _make_logger(cfg: DictConfig, method: str, folder: Path, since: int | None, protocols: Iterable[str]) -> Logger:
    # Lightning's CSV logger would delete the log of the first part.
    part = method if since is None else f"{method}_from_{since}"
    kind = _class(cfg)
    if kind is WandbLogger:
        settings = wandb_run.settings(cfg, method, folder, since, protocols)
        _keep_in(folder)
    elif kind is MLFlowLogger:
        settings = {"run_name": f"{cfg.name}-{part}", "tags": {"method": method, "folder": str(folder)}}
    else:
        settings = {"save_dir": str(folder), "version": part}
    return instantiate(cfg.logger, _partial_=True)(**settings)


def _convergence(table: list[dict[str, Any]], results: Path) -> list[tuple[int, dict[str, float]]]:
    """Steps of the convergence curve with the quartiles of the objective over images; empty for a baseline."""
    files = (load_result(results, row["name"], (), ("history",)) for row in table)
    curve = quartiles([file["history"] for file in files if "history" in file])
    if curve is None:
        return []
    return [(int(step), row.add_prefix("convergence/").to_dict()) for step, row in thinned(curve).iterrows()]


def _check_names(cfg: DictConfig, kind: type[Logger]) -> None:
    """Raise an error for an option that the logger does not have, which Lightning would hand on to W&B."""
    functions: list[Callable[..., Any]] = [kind]
    if kind is WandbLogger:
        import wandb

        functions.append(wandb.init)
    known = {name for function in functions for name in inspect.signature(function).parameters} - {"kwargs"}
    unknown = sorted({str(name) for name in cfg.logger} - known - {"_target_"})
    if unknown:
        raise InputError(f"logger.{unknown[0]}: no such option; use one of {', '.join(sorted(known))}")


def _class(cfg: DictConfig) -> type[Logger]:
    return get_class(cfg.logger._target_)


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.create(runs.resolved(cfg)), resolve=True)


def _keep_in(folder: Path) -> None:
    """Let W&B write all its files into the run's folder if there is no home folder to write to.

    Lightning sets ``WANDB_MODE`` for an offline run; the mode of the next job is its own.
    """
    if "WANDB_MODE" not in os.environ:
        _redirected.append("WANDB_MODE")
    home = os.environ.get("HOME")
    if home and os.access(home, os.W_OK):
        return
    for name in FOLDERS:
        if name not in os.environ:
            os.environ[name] = str((folder / "wandb").absolute() if name != "WANDB_DIR" else folder.absolute())
            _redirected.append(name)
