"""The command line: ``python run.py experiment=mvtec_rrgi``, or the installed command ``rgi``.

Hydra composes the configuration; the task that it names is a function of one of this package's modules. A module is
imported when its task is run, so that `--help` needs neither torch nor Lightning.
"""

import importlib
import logging
import os
import signal
import sys
import traceback
import warnings
from types import FrameType

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from rgi.app import grid, sweep
from rgi.errors import InputError

TASKS = {  # name: module of this package that has a function of that name
    "pretrain": "train",
    "encode": "train",
    "calibrate": "train",
    "convert": "train",
    "invert": "solve",
    "predict": "solve",
    "compare": "solve",
    "report": "solve",
    "benchmark": "benchmark",
}


def main() -> None:
    """Run the command line.

    Bad input prints one line on stderr and exits with status 1. A signal exits with 128 plus its number, as a shell
    has it: 130 for Ctrl-C, 143 for SIGTERM. A multirun goes on after a job that failed, and exits with status 1.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them at length
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    grid.register()
    sweep.continue_unfinished(sys.argv[1:])
    sweep.failed_jobs.clear()
    try:
        hydra.main(version_base="1.3", config_path=str(grid.CONF), config_name="config")(run_task)()
    except HydraException as error:
        if "debug=true" in sys.argv:
            raise
        _refuse(_explain(error))
    except Stopped as stop:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # not by each process of `trainer=ddp`
            print(f"stopped by {stop.name}; type the command again to continue", file=sys.stderr)
        raise
    finally:
        os.environ.pop(sweep.FOLDER, None)
    if sweep.failed_jobs:
        _refuse(f"{len(sweep.failed_jobs)} jobs failed: {', '.join(sweep.failed_jobs)}; see above")


def run_task(cfg: DictConfig) -> None:
    """Run ``cfg.task``; bad input prints one line on stderr and exits with status 1."""
    from rgi.app import options, record, runs

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Lightning advertises other products; its import sets the level to INFO.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for words in (".*LeafSpec.* is deprecated", "Using ModelCheckpoint with manual optimization"):
        warnings.filterwarnings("ignore", words)  # about Lightning's own code
    try:
        module = TASKS.get(cfg.task)
        if module is None:
            raise InputError(f"task={cfg.task}: unknown; one of {', '.join(TASKS)}")
        cfg.name = str(cfg.name or cfg.task)
        cfg.output_dir = None if cfg.output_dir is None else str(cfg.output_dir)
        options.check_options(cfg)
        if not runs.finished_job(cfg):
            getattr(importlib.import_module(f"rgi.app.{module}"), cfg.task)(cfg)
    except Exception as error:
        if cfg.debug:
            raise
        message = _message(error)
        job = sweep.current_job()
        if message is None and job is None:
            raise
        if message is None:
            traceback.print_exc()
        if job is None:
            _refuse(message)
        print(f"error: job {job}: {message or 'ended with the traceback above'}", file=sys.stderr)
        sweep.failed_jobs.append(job)
    finally:
        record.close_loggers()
        runs.close_run()


def _message(error: Exception) -> str | None:
    """What an error says about the user's input; None for a bug of ours."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: not given; add {error.full_key}=..."
    if isinstance(error, InputError | OmegaConfBaseException):
        return " ".join(str(error).split())
    return None


class Stopped(SystemExit):
    """A signal ended the program."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


def _stop(number: int, _: FrameType | None) -> None:
    """End at a signal, wherever the program is: every file of ours is whole at any moment."""
    signal.signal(number, signal.SIG_IGN)  # a second one would interrupt the clean-up
    raise Stopped(number)


def _refuse(message: str) -> None:
    """End with one line."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(1)


def _explain(error: HydraException) -> str:
    """What is wrong with the command line."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = error.missing_cfg_file.partition("/")
        return f"{group}={choice}: no such choice; one of {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        example = "'dataset.root=\"photos (1)\"'"
        return (
            f"{error.override}: is no option=value; values with signs like comma, ( or = need inner quotes: {example}"
        )
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        given = next((argument for argument in sys.argv if argument.startswith(cause.full_key)), cause.full_key)
        return f"{given}: no such option; `python run.py --cfg job` shows those there are"
    return str(error)
