"""Configurations as the command line composes them."""

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from rgi.app import grid
from rgi.app.grid import CONF


def composed(*overrides: str) -> DictConfig:
    """The configuration that run.py would hand to the tasks."""
    grid.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg
