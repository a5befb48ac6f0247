"""The command line: ``python run.py experiment=mvtec_rrgi``, or the installed command ``rgi``.

Hydra composes the configuration. The option ``task`` names a function in a module of this package. The module is
imported only when its task runs, so `--help` needs neither torch nor Lightning.
"""

import importlib
import logging
import os
import re
import signal
import sys
import traceback
import warnings
from types import FrameType
from typing import Any

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from rgi.app import arguments, grid, help, run_files
from rgi.app.jobs import launch, sweep
from rgi.errors import InputError, did_you_mean

TASKS = {  # name of the task: module of this package with a function of the same name
    "pretrain": "training.train",
    "encode": "training.train",
    "calibrate": "training.generator_files",
    "convert": "training.generator_files",
    "invert": "solve",
    "predict": "solve",
    "compare": "solve",
    "report": "report",
    "benchmark": "jobs.benchmark",
    "search": "search.search",
}


def main() -> None:
    """Run the command line.

    Wrong input prints one line on stderr and exits with status 1. A signal exits with status 128 plus its number, as in
    a shell: 130 for Ctrl-C, 143 for SIGTERM. A multirun continues after a failed job, and exits with status 1.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing long messages
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    grid.register()
    help.register()
    sweep.failed_jobs.clear()
    try:
        sys.argv[1:] = arguments.prepare(sys.argv[1:])
        sweep.name_folder(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(grid.CONF), config_name="config")(run_task)()
    except (InputError, HydraException, OmegaConfBaseException) as error:
        if "debug=true" in sys.argv:
            raise
        _refuse(_explain(error) if isinstance(error, HydraException) else str(error))
    except Exception as error:
        launcher = sweep.launcher(sys.argv)
        if launcher is None or "debug=true" in sys.argv:  # jobs return their errors, so this one is the launcher's
            raise
        _refuse(f"launcher={launcher}: {str(error)[:400]}; type the command again when none of its jobs is running")
    except Stopped as stop:
        if launch.rank() == 0:  # only the first process of `trainer=ddp`
            print(f"stopped by {stop.name}; run the command again to continue", file=sys.stderr)
        raise
    finally:
        os.environ.pop(sweep.FOLDER, None)
    if sweep.failed_jobs:
        _refuse(f"{len(sweep.failed_jobs)} jobs failed: {', '.join(sweep.failed_jobs)}; see above")


def run_task(cfg: DictConfig) -> str | None:
    """Run the task of a configuration; wrong input prints one line on stderr and exits with status 1.

    Returns:
        The error of a job of a multirun, which the other jobs survive; None after success.
    """
    from rgi.app import logs, options, runs, trainer

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Lightning logs advertisements at the level INFO.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for words in (".*LeafSpec.* is deprecated", "Using ModelCheckpoint with manual optimization"):
        warnings.filterwarnings("ignore", words)  # warnings about Lightning's own code
    try:
        if not runs.joined():
            return None
        module = TASKS.get(cfg.task)
        if module is None:
            raise InputError(f"task={cfg.task}: unknown; use one of {', '.join(TASKS)}")
        cfg.name = str(cfg.name or cfg.task)
        cfg.output_dir = None if cfg.output_dir is None else str(cfg.output_dir)
        options.expand_home(cfg)
        options.check_options(cfg)
        trainer.check_trainer(cfg)
        logs.check_logger(cfg)
        if not runs.finished_job(cfg):
            getattr(importlib.import_module(f"rgi.app.{module}"), cfg.task)(cfg)
    except Exception as error:
        if cfg.debug is True:
            raise
        message = _message(error)
        job = sweep.current_job()
        if message is None and job is None:
            raise
        if job is None:
            _refuse(message)
        if message is None:
            traceback.print_exc()
            message = "ended with the traceback above"
        print(f"error: job {job}: {message}", file=sys.stderr)
        return message
    finally:
        launch.announce(None)
        logs.close_loggers()
        logs.failures.clear()
        runs.close_run()


def _message(error: Exception) -> str | None:
    """Message of an error about wrong input; None for other errors, which are bugs."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: not given; add {error.full_key}=..."
    if isinstance(error, InputError | OmegaConfBaseException):
        return " ".join(str(error).split())
    if isinstance(error, PermissionError):
        return f"{error.filename}: no permission to read or write it; ask its owner for permission, or name a copy"
    if isinstance(error, OSError) and error.errno in run_files.NO_ROOM:
        return (
            f"{error.filename or 'output'}: cannot be written ({error.strerror}); make room, and run the command again"
        )
    return None


class Stopped(SystemExit):
    """Exit of the program after a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


def _stop(number: int, _: FrameType | None) -> None:
    """Exit at a signal. This is always safe, because all files are written atomically."""
    signal.signal(number, signal.SIG_IGN)  # a second signal would interrupt the clean-up
    raise Stopped(number)


def _refuse(message: str) -> None:
    """Print an error message in one line, and exit with status 1."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(1)


def _explain(error: HydraException) -> str:
    """Message for an error that Hydra found in the command line."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = error.missing_cfg_file.partition("/")
        if group == "hydra":  # its groups have a name of two parts, and ours have choices of two parts
            group, _, choice = error.missing_cfg_file.rpartition("/")
        home = grid.CONF / group  # Hydra lists the choices without those of inner folders
        inner = [path.relative_to(home).with_suffix("").as_posix() for path in home.glob("*/*.yaml")]
        generated = grid.grid() if group == "experiment" else ()
        near = did_you_mean(choice, [*error.options, *inner, *generated])
        remedy = f"{near}run `python run.py --help` to see all" if near else f"use one of {', '.join(error.options)}"
        return f"{group}={choice}: no such choice; {remedy}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: is not option=value; {_remedy(error.override)}"
    ambiguous = re.match(r"Ambiguous value for argument '(.*)'\n", str(error))
    if ambiguous:
        remedy = _remedy(ambiguous[1])
        return f"{ambiguous[1]}: a comma separates values; add -m for one run for each value; or {remedy}"
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        given = next((argument for argument in sys.argv if argument.startswith(cause.full_key)), cause.full_key)
        # Hydra first composes a multirun without the choices that it sweeps.
        swept = f"; if a swept choice has this option, type ++{given}" if {"-m", "--multirun"} & {*sys.argv} else ""
        key = str(cause.key)
        beside = OmegaConf.to_container(cause.parent_node) if OmegaConf.is_dict(cause.parent_node) else {}
        near = did_you_mean(key, _options(beside, cause.full_key.removesuffix(key)))
        return f"{given}: no such option; {near}run `python run.py --cfg job` to see all options{swept}"
    return str(error)


def _options(content: Any, prefix: str = "") -> dict[str, str]:
    """Names of all options in a part of the configuration, and how each must be typed."""
    found: dict[str, str] = {}
    if isinstance(content, dict):
        for name, inner in content.items():
            found |= {str(name): f"{prefix}{name}"} | _options(inner, f"{prefix}{name}.")
    return found


def _remedy(argument: str) -> str:
    """What to type instead of an argument that Hydra does not understand."""
    if re.fullmatch(r"\[.*\]|\{.*\}", argument.partition("=")[2]):
        return 'put each text inside the brackets that has special characters in double quotes, such as "scale=64"'
    quoted = arguments.in_quotes(argument)
    if quoted is None:
        return "run `python run.py --help` for examples, and `python run.py --cfg job` for all options"
    return f"put a value with special characters in quotes: {quoted}"
