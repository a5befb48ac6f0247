"""The progress bar of a training."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

UPDATE_INTERVAL = 10  # steps between two updates of the rate and the losses


class TrainingProgress(Callback):
    """A progress bar with steps, images per second and losses; images per second are also logged.

    Args:
        name: text beside the bar.
        batch_size: number of images per step and process.
    """

    def __init__(self, name: str, batch_size: int) -> None:
        self.name, self.batch_size = name, batch_size
        self.bar = tqdm(disable=True)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        done, disable = module.steps_done, not trainer.is_global_zero
        self.bar = tqdm(
            total=module.steps, initial=done, desc=self.name, unit="step", mininterval=1, miniters=1, disable=disable
        )
        self.since, self.seconds = time.perf_counter(), 0.0
        self.steps = 0

    def on_train_batch_start(self, *_: Any) -> None:
        self.since = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        self.seconds += time.perf_counter() - self.since
        self.steps += 1
        self.bar.update()
        if self.steps % UPDATE_INTERVAL == 0:
            rate = UPDATE_INTERVAL * self.batch_size * trainer.world_size / self.seconds
            module.log("images_per_second", rate)
            losses = {n: f"{v:.3g}" for n, v in trainer.callback_metrics.items() if n.endswith(("_loss", "_gap"))}
            self.bar.set_postfix({"images/s": f"{rate:.0f}", **losses}, refresh=False)
            self.seconds = 0.0

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.bar.close()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self.bar.close()
