"""What the command line can do: each task is a short function of the composed configuration."""

import logging
import sys
from pathlib import Path

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from rgi import runs
from rgi.data.module import ImageData, ImageSet
from rgi.errors import InputError
from rgi.modules.adversarial import SampleSheets

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    """Run ``cfg.task``; bad input prints one line on stderr and exits with status 1."""
    try:
        TASKS[cfg.task](cfg)
    except (InputError, InstantiationException, OmegaConfBaseException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if cfg.debug or not isinstance(cause, (InputError, OmegaConfBaseException)):
            raise
        print(f"error: {cause}", file=sys.stderr)
        sys.exit(1)
    finally:
        runs.close_run()


def pretrain(cfg: DictConfig) -> None:
    """Train a generator on the dataset's clean images and write it, with its card, to ``generator.path``."""
    images: ImageSet = instantiate(cfg.dataset)
    images.prepare()
    target = Path(cfg.generator.path)
    folder = runs.open_run(cfg)
    architecture = {
        "family": cfg.generator.family,
        "latent_dim": cfg.generator.latent_dim,
        "channels": cfg.dataset.channels,
        "resolution": cfg.dataset.resolution,
        "options": OmegaConf.to_container(cfg.generator.options, resolve=True),
    }
    training = instantiate(cfg.generator.training, **architecture, seed=cfg.seed, _convert_="all")
    checkpoints = ModelCheckpoint(
        folder / "checkpoints", filename="{step}", every_n_train_steps=2 * cfg.checkpoint_every, save_top_k=1
    )
    trainer = _trainer(
        cfg, folder, max_steps=2 * cfg.steps, callbacks=[checkpoints, SampleSheets(folder / "samples", 500)]
    )
    data = ImageData(images, cfg.batch_size, cfg.seed, cfg.steps)
    last = max((folder / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
    trainer.fit(training, data, ckpt_path=last, weights_only=True)


def _trainer(cfg: DictConfig, folder: Path, **settings: object) -> Trainer:
    logger = instantiate(cfg.logger, save_dir=str(folder))
    return instantiate(cfg.trainer, logger=logger, default_root_dir=str(folder), **settings)


TASKS = {"pretrain": pretrain}
