"""python run.py experiment=mvtec_rrgi : composes the configuration and hands it to rgi.tasks."""

import logging
import os
import sys
import warnings

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from rgi import tasks


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Run the task of the configuration; bad input ends in one line on stderr and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it advertises other products
    for words in (".*LeafSpec.* is deprecated", "Using ModelCheckpoint with manual optimization"):
        warnings.filterwarnings("ignore", words)  # Lightning's own affairs
    tasks.main(cfg)


def explain(error: HydraException) -> str:
    """What is wrong with the command line, in one line."""
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
    return " ".join(str(error).split())


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors, which it would print at length
    try:
        main()
    except HydraException as error:
        if "debug=true" in sys.argv:
            raise
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(1)
