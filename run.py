"""python run.py experiment=mvtec_rrgi : composes the configuration and hands it to rgi.tasks."""

import logging
import sys

import hydra
from omegaconf import DictConfig

from rgi import tasks


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Run the task of the configuration; bad input ends in one line on stderr and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    tasks.main(cfg)


if __name__ == "__main__":
    main()
