"""The command line: ``python run.py experiment=mvtec_rrgi``, or the installed command ``rgi``.

Hydra composes the configuration; the task that it names is a function of one of this package's modules. A module is
imported when its task is run, so that `--help` needs neither torch nor Lightning.
"""

import importlib
import logging
import os
import sys
import warnings

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from rgi.app import grid
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
    """Run the command line; bad input prints one line on stderr and exits with status 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them at length
    grid.register()
    try:
        hydra.main(version_base="1.3", config_path=str(grid.CONF), config_name="config")(run_task)()
    except HydraException as error:
        if "debug=true" in sys.argv:
            raise
        _refuse(_explain(error))


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
        getattr(importlib.import_module(f"rgi.app.{module}"), cfg.task)(cfg)
        record.close_loggers()
    except (InputError, OmegaConfBaseException) as error:
        if cfg.debug:
            raise
        missing = isinstance(error, MissingMandatoryValue)
        _refuse(f"{error.full_key}: not given; add {error.full_key}=..." if missing else str(error))
    finally:
        runs.close_run()


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
        return f"{error.override}: is no option=value; values with signs like ( or = need inner quotes: {example}"
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        given = next((argument for argument in sys.argv if argument.startswith(cause.full_key)), cause.full_key)
        return f"{given}: no such option; `python run.py --cfg job` shows those there are"
    return str(error)
