"""Scores of a generator: the quality of samples, the inversion gap, and whether painted defects stand out."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn

from rgi.data.corruptions.defects import paint_images
from rgi.generators.store import GAN, Card
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert
from rgi.metrics.checks import metric_device
from rgi.metrics.generative.frechet import frechet_and_kernel
from rgi.metrics.generative.quality import sample_quality
from rgi.training.adversarial import AdversarialTraining

# Fast enough for a run every few hundred steps. Equal for all generators, so that inversion gaps are comparable.
PLAIN_INVERSION = SolverConfig(
    mask="none", iterations=40, latent_start="pool", pool_size=256, starts=1, tolerance=None, precision="float32"
)

CONTRASTS = {"faint": (0.3, 1.0), "plain": (1.0, 2.0), "gross": (2.0, 4.0)}  # of painted defects, see `Defects`


def inversion_gap(gan: GAN, clean: Tensor) -> float:
    """Root mean square of x - G(z) over clean images after an inversion without mask, in units of pixel values.

    On held-out images, the gap is the noise level of anomaly maps: fainter defects are hard to detect.

    Args:
        gan: GAN with the generator G.
        clean: clean images x (B,C,H,W) in [-1,1].
    """
    result = invert(gan, clean, PLAIN_INVERSION)
    return (result.observed - result.restored).square().mean().sqrt().item()


def defect_aurocs(gan: GAN, clean: Tensor) -> dict[str, float]:
    """Pixel AUROC of painted defects by the residual after an inversion without mask, for each level of contrast.

    The generator must explain clean images and nothing else. A generator that explains defects, too, has a low score,
    however small its inversion gap is. The residual is smoothed with a sigma of one pixel.

    Args:
        gan: GAN with the generator.
        clean: clean images (B,C,H,W) in [-1,1], best held-out ones. Each is painted once for each level.

    Returns:
        AUROC by the name ``defect_auroc_<level>``, see `CONTRASTS`.
    """
    from sklearn.metrics import roc_auc_score  # only this function needs it, and the import takes a second

    found = {}
    for level, contrast in CONTRASTS.items():
        observed, mask = paint_images(clean.cpu(), contrast)
        scores = invert(gan, observed, PLAIN_INVERSION).anomaly_map("residual", sigma=1).cpu()
        found[f"defect_auroc_{level}"] = float(roc_auc_score(mask.flatten() > 0, scores.flatten()))
    return found


def final_quality(gan: GAN, held_out: Tensor) -> dict[str, float]:
    """The scores on a GAN's card, with the inversion gap if it is missing, and with the AUROCs of painted defects.

    Args:
        gan: GAN, judged during its training or not.
        held_out: held-out clean images (B,C,H,W) in [-1,1].
    """
    gap = {} if "inversion_gap" in gan.card.quality else {"inversion_gap": inversion_gap(gan, held_out)}
    return gan.card.quality | gap | defect_aurocs(gan, held_out)


class Judge(Callback):
    """Callback that regularly saves a sheet of samples and measures the generator.

    The measurements begin when the generator makes images in full resolution. The state with the lowest inversion gap
    is kept as ``best.ckpt`` beside the other checkpoints. All processes compute the same scores, so no process waits
    for another.

    Args:
        folder: folder of the run; sheets are saved in ``samples``.
        interval: number of steps between two measurements.
        held_out: held-out clean images (N,C,H,W) in [-1,1].
        real: training images (M,C,H,W) in [-1,1], compared with M samples.
        card: card of the generator.
        features: module that maps images (N,C,H,W) to features (N,F), for FID and KID; None to leave out both.
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
        if module.continues and not self.rows:  # the first state may remain the best
            self._measure_and_save(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialTraining, *_: Any) -> None:
        if module.steps_done % self.interval == 0 or module.steps_done == module.steps:
            self._measure_and_save(trainer, module)

    def _measure_and_save(self, trainer: Trainer, module: AdversarialTraining) -> None:
        samples = module.samples(len(self.real))
        if trainer.is_global_zero:
            sheet = self.folder / "samples" / f"{module.steps_done:06d}.png"
            save_sheet(samples[:64], sheet)
            if hasattr(trainer.logger, "log_image"):  # a method of Lightning's W&B logger
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
        """Scores of a generator by name: the inversion gap, and the quality of its samples.

        Args:
            module: training of the generator, at full resolution.
            samples: samples (N,C,H,W) in [-1,1].
        """
        numbers = {"inversion_gap": inversion_gap(module.current_gan(self.card), self.held_out.to(module.device))}
        device = metric_device(module.device)
        real, samples = self.real.to(device), samples.to(device)
        numbers |= sample_quality(real, samples)
        if self.features is not None:
            numbers |= frechet_and_kernel(real, samples, self.features.to(device))
        return numbers


def save_sheet(samples: Tensor, path: Path) -> None:
    """Save images in a PNG file, eight in a row; an incomplete last row is left out.

    Args:
        samples: images (N,C,H,W); values are clamped to [-1,1].
        path: file to write.
    """
    rows = [torch.cat(list(row), 2) for row in samples.split(8) if len(row) == 8 or len(samples) < 8]
    pixels = ((torch.cat(rows, 1).clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).squeeze(2).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
