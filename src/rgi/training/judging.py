"""Judging a generator while it is trained: the quality of its samples, and how well it explains held-out images."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn

from rgi.generators.store import GAN, Card
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert
from rgi.metrics.generative.frechet import frechet_and_kernel
from rgi.metrics.generative.quality import sample_quality
from rgi.training.adversarial import AdversarialTraining

# Cheap enough to be asked every few hundred steps; the same for every generator, so that their gaps compare.
PLAIN_INVERSION = SolverConfig(mask="none", iterations=40, lr_latent=0.3, betas=(0.8, 0.95), pool_size=256, starts=1)


def inversion_gap(gan: GAN, clean: Tensor) -> float:
    """Root mean square of x - G(z), in image units, over clean images (B,C,H,W) after plain inversion.

    With images that the generator was not trained on, it is what a defect must exceed to be seen.
    """
    found = invert(gan, clean, PLAIN_INVERSION)
    return (found.observed - found.restored).square().mean().sqrt().item()


class Judge(Callback):
    """Every so many steps: a sheet of samples, and once the generator is complete its quality and inversion gap.

    The state with the lowest inversion gap is kept as ``best.ckpt`` beside the other checkpoints. Every process judges
    for itself and comes to the same result, so that none waits for another.

    Args:
        folder: of the run; sheets go to ``samples/``.
        every: steps from one judgement to the next.
        held_out: clean images (N,C,H,W) in [-1,1] that are not trained on.
        real: images that are, to compare the samples with, as many of one as of the other.
        card: of the generator.
        features: images (N,C,H,W) -> (N,F), for FID and KID in addition; None for neither.
    """

    def __init__(
        self, folder: Path, interval: int, held_out: Tensor, real: Tensor, card: Card, features: nn.Module | None
    ) -> None:
        self.folder, self.interval, self.held_out, self.real = folder, interval, held_out, real
        self.card, self.features = card, features
        self.rows: list[dict[str, float]] = []

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest inversion gap."""
        return self.folder / "checkpoints" / "best.ckpt"

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_train_start(self, trainer: Trainer, module: AdversarialTraining) -> None:
        if module.first_step and not self.rows:  # what it goes on from may stay the best
            self._look(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialTraining, *_: Any) -> None:
        if module.steps_done % self.interval == 0 or module.steps_done == module.steps:
            self._look(trainer, module)

    def _look(self, trainer: Trainer, module: AdversarialTraining) -> None:
        samples = module.samples(len(self.real))
        if trainer.is_global_zero:
            sheet = self.folder / "samples" / f"{module.steps_done:06d}.png"
            save_sheet(samples[:64], sheet)
            if hasattr(trainer.logger, "log_image"):  # W&B's
                trainer.logger.log_image("samples", [str(sheet)])
        if not module.complete:
            return
        row = {"step": module.steps_done, **self.measure(module, samples), **module.losses}
        module.log_dict({name: value for name, value in row.items() if name != "step"})
        self.rows.append(row)
        lowest = min(self.rows, key=lambda row: row["inversion_gap"])
        if trainer.strategy.reduce_boolean_decision(lowest is row):
            trainer.save_checkpoint(self.best)

    def measure(self, module: AdversarialTraining, samples: Tensor) -> dict[str, float]:
        """The inversion gap and the quality of samples (N,C,H,W) of a complete generator."""
        numbers = {"inversion_gap": inversion_gap(module.current_gan(self.card), self.held_out.to(module.device))}
        real = self.real.to(module.device)
        numbers |= sample_quality(real, samples)
        if self.features is not None:
            numbers |= frechet_and_kernel(real, samples, self.features.to(module.device))
        return numbers


def save_sheet(samples: Tensor, path: Path) -> None:
    """Images (N,C,H,W) side by side, eight in a row, as a PNG."""
    rows = [torch.cat(list(row), 2) for row in samples.split(8) if len(row) == 8 or len(samples) < 8]
    pixels = ((torch.cat(rows, 1).clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).squeeze(2).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
