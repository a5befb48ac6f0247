"""The log of each method or training: CSV files, Weights & Biases, or none.

A log is an addition to the files of a run. If a logger fails, the run continues without it, writes its own files, and
reports the failure at the end.
"""

import inspect
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, WandbLogger

from rgi.app import runs
from rgi.app.options import make
from rgi.errors import InputError
from rgi.evaluation.results import load_result
from rgi.report.pictures import heatmap, heatmap_scale, to_picture

log = logging.getLogger(__name__)
PICTURE_COLUMNS = ("observed", "restored", "map", "truth")  # of the table in W&B
CALLS = ("log_metrics", "log_hyperparams", "log_graph", "log_image", "log_table", "save", "finalize")
KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")  # environment variables that identify a user of W&B
FOLDERS = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")  # environment variables of W&B
failures: dict[str, str] = {}  # methods and trainings of this job whose logger has failed, with the reason
_redirected: list[str] = []  # environment variables that this module has set


def check_logger(cfg: DictConfig) -> None:
    """Check the options of the logger, before work starts.

    Raises:
        InputError: an option is wrong, or an upload needs an account.
    """
    if cfg.get("logger") is None:
        return
    make(cfg, "logger", save_dir="outputs")  # this makes no file
    if not _is_wandb(cfg):
        return
    import wandb

    known = {*inspect.signature(WandbLogger).parameters, *inspect.signature(wandb.init).parameters}
    unknown = sorted({str(name) for name in cfg.logger} - known - {"_target_"})
    if unknown:
        raise InputError(f"logger.{unknown[0]}: no such option; use one of {', '.join(sorted(known - {'kwargs'}))}")
    if not cfg.logger.offline and os.environ.get("WANDB_MODE", "online") == "online" and not _has_key():
        raise InputError(
            "logger.offline=false: Weights & Biases has no key of an account; run `wandb login`, set WANDB_API_KEY, or "
            "use logger.offline=true"
        )


def method_logger(cfg: DictConfig, method: str, folder: Path) -> Logger | None:
    """Create the logger for one method or training; None with ``logger=null``, or if the logger cannot be made.

    Failures of the logger are only noted, see `raise_failures`. In W&B, each method is a run, and the group is the
    dataset.

    Args:
        cfg: configuration of the run.
        method: name of the method.
        folder: folder of the run.
    """
    logger = None if cfg.get("logger") is None else _attempt(method, _make_logger, cfg, method, folder)
    for name in CALLS:
        if hasattr(logger, name):
            setattr(logger, name, partial(_attempt, method, getattr(logger, name)))
    return logger


def log_method(
    cfg: DictConfig, method: str, folder: Path, scores: dict[str, float], table: list[dict[str, Any]], settings: Any
) -> None:
    """Write the log of a finished method. W&B also gets a table of pictures and the resolved settings.

    Args:
        cfg: configuration of the run.
        method: name of the method.
        folder: folder of the run.
        scores: scores and cost of the method by metric.
        table: rows of per_image.csv of this method.
        settings: resolved settings of the method by name; W&B's configuration holds them as ``resolved``.
    """
    logger = method_logger(cfg, method, folder)
    if logger is None:
        return
    logger.log_metrics(scores)
    if isinstance(logger, WandbLogger):
        logger.log_hyperparams({"resolved": settings})
        pictures = _attempt(method, _pictures, table, folder / "results" / method)
        logger.log_table("pictures", columns=["name", "score", *PICTURE_COLUMNS], data=pictures)
    logger.finalize("success")
    close_loggers(method)


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


def _make_logger(cfg: DictConfig, method: str, folder: Path) -> Logger:
    settings: dict[str, Any] = {"save_dir": str(folder)}
    if _is_wandb(cfg):
        settings |= {
            "name": f"{cfg.name or cfg.task}-{method}",
            "group": cfg.logger.group or HydraConfig.get().runtime.choices.dataset,
            "job_type": method,
            "config": OmegaConf.to_container(OmegaConf.create(runs.resolved(cfg)), resolve=True),
        }
        _keep_in(folder)
    else:
        settings["version"] = method
    return instantiate(cfg.logger, _partial_=True)(**settings)


def _is_wandb(cfg: DictConfig) -> bool:
    return issubclass(get_class(cfg.logger._target_), WandbLogger)


def _keep_in(folder: Path) -> None:
    """Let W&B write all its files into the run's folder if there is no home folder to write to."""
    home = os.environ.get("HOME")
    if home and os.access(home, os.W_OK):
        return
    for name in FOLDERS:
        if name not in os.environ:
            os.environ[name] = str((folder / "wandb").absolute() if name != "WANDB_DIR" else folder.absolute())
            _redirected.append(name)


def _has_key() -> bool:
    """Whether W&B can find a key: in an environment variable, or in the file that ``wandb login`` writes."""
    if any(os.environ.get(name) for name in KEYS):
        return True
    files = [os.environ.get("NETRC", ""), os.path.expanduser("~/.netrc"), os.path.expanduser("~/_netrc")]
    for file in files:
        try:
            logins = netrc(file).hosts.values() if file else ()
        except (OSError, NetrcParseError):
            continue
        if any(login == "user" for login, _, _ in logins):  # W&B's own name for the owner of a key
            return True
    return False


def _pictures(table: list[dict[str, Any]], results: Path) -> list[list[Any]]:
    """Rows of the W&B table. All heat maps have the same scale."""
    import wandb

    arrays = [load_result(results, row["name"]) for row in table]
    scale = heatmap_scale(each["map"] for each in arrays)
    lines = []
    for row, each in zip(table, arrays, strict=True):
        drawn = {name: to_picture(each[name]) for name in ("observed", "restored", "truth") if name in each}
        drawn["map"] = heatmap(each["map"], scale)
        pictures = [wandb.Image(drawn[name]) if name in drawn else None for name in PICTURE_COLUMNS]
        lines.append([row["name"], row["score"], *pictures])
    return lines
