"""Pretraining a GAN on clean images.

Non-saturating loss (Goodfellow et al. 2014) with the lazy R1 penalty (Mescheder et al. 2018, Karras et al. 2020):

    critic     mean softplus(-D(x)) + mean softplus(D(G(z))) + every 16th step  16 γ/2 mean |∇D(x)|²
    generator  mean softplus(-D(G(z)))

The generator that is kept is an exponential moving average of the trained one.
"""

import os
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rgi.errors import InputError
from rgi.generators import build
from rgi.generators.store import GAN, Card

R1_EVERY = 16


class AdversarialTraining(LightningModule):
    """Generator and critic in turn, one optimiser each.

    Args:
        family, latent_dim, channels, resolution, options: the networks, as `rgi.generators.build` takes them.
        lr, betas: of both Adams.
        r1: γ of the penalty.
        ema: decay per step of the averaged generator.
        seed: of the latent codes, which depend on seed, step and process alone.

    Raises:
        InputError: a rate, weight or decay out of range, or networks that cannot be built.
    """

    def __init__(
        self,
        family: str,
        latent_dim: int,
        channels: int,
        resolution: int,
        options: dict[str, Any],
        lr: float,
        betas: tuple[float, float],
        r1: float,
        ema: float,
        seed: int,
    ) -> None:
        super().__init__()
        ranges = {"lr": (lr, lr > 0), "r1": (r1, r1 >= 0), "ema": (ema, 0 <= ema < 1)}
        for name, (value, fits) in ranges.items():
            if not fits:
                raise InputError(f"generator.training.{name}={value}: lr must be above 0, r1 at least 0, ema in [0, 1)")
        self.save_hyperparameters()
        self.automatic_optimization = False
        sizes = dict(latent_dim=latent_dim, channels=channels, resolution=resolution)
        self.generator, self.critic = build(family, **sizes, **options)
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)

    @property
    def steps_done(self) -> int:
        """Generator steps so far. Lightning counts every optimiser's step, and there are two in each of ours."""
        return self.global_step // 2

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        settings = dict(lr=self.hparams.lr, betas=tuple(self.hparams.betas))
        return [torch.optim.Adam(network.parameters(), **settings) for network in (self.critic, self.generator)]

    def training_step(self, real: Tensor, index: int) -> None:
        step = self.steps_done
        for_critic, for_generator = self._latents(len(real), step)
        critic_optimizer, generator_optimizer = self.optimizers()

        with torch.no_grad():
            fake = self.generator(for_critic)
        critic_loss = softplus(-self._score(real)).mean() + softplus(self._score(fake)).mean()
        if step % R1_EVERY == 0:
            critic_loss = critic_loss + R1_EVERY * self.hparams.r1 / 2 * self._r1(real)
        self._descend(critic_optimizer, critic_loss)

        self.critic.requires_grad_(False)
        generator_loss = softplus(-self._score(self.generator(for_generator))).mean()
        self._descend(generator_optimizer, generator_loss)
        self.critic.requires_grad_(True)
        self.average.update_parameters(self.generator)

        if step % 50 == 0:  # reading a loss makes a GPU wait
            self._report(step, critic_loss.item(), generator_loss.item())

    def _score(self, image: Tensor) -> Tensor:
        return self.critic(image, together=True)

    def _latents(self, count: int, step: int) -> Tensor:
        """Codes (2,B,d) of both half-steps."""
        seed = (self.hparams.seed * 1_000_003 + step) * 1009 + self.global_rank
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(2, count, self.hparams.latent_dim, generator=generator).to(self.device)

    def _r1(self, real: Tensor) -> Tensor:
        """mean over images of the squared norm of the critic's gradient, in float32: a bf16 norm is too coarse."""
        with torch.autocast(self.device.type, enabled=False):
            real = real.detach().float().requires_grad_()
            (gradient,) = torch.autograd.grad(self._score(real).sum(), real, create_graph=True)
            return gradient.square().sum((1, 2, 3)).mean()

    def _descend(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _report(self, step: int, critic_loss: float, generator_loss: float) -> None:
        if not (abs(critic_loss) < float("inf") and abs(generator_loss) < float("inf")):
            raise InputError(
                f"training step {step}: the loss is not finite; start anew with a smaller generator.training.lr or a "
                "larger generator.training.r1"
            )
        self.log_dict({"critic_loss": critic_loss, "generator_loss": generator_loss}, prog_bar=True)

    def unfinished(self, card: Card) -> GAN:
        """The averaged generator as it is trained, for what will be trained on it afterwards."""
        return GAN(self.average.module, None, None, card)

    def gan(self, card: Card) -> GAN:
        """The averaged generator and the critic."""
        return GAN(self.average.module.float().cpu(), self.critic.float().cpu(), None, card)

    @torch.no_grad()
    def samples(self, count: int) -> Tensor:
        """Images (count,C,H,W) of the averaged generator from fixed codes."""
        codes = torch.randn(count, self.hparams.latent_dim, generator=torch.Generator().manual_seed(0))
        self.average.eval()
        return self.average(codes.to(self.device)).float()


class SampleSheets(Callback):
    """Save a sheet of 8x8 samples now and then, so that a training can be watched."""

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialTraining, *_: Any) -> None:
        if module.steps_done % self.every == 0 and trainer.is_global_zero:
            sheet = torch.cat([torch.cat(list(row), 2) for row in module.samples(64).unflatten(0, (8, 8))], 1)
            pixels = ((sheet.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).squeeze(2).cpu().numpy()
            self.folder.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(self.folder / f"{module.steps_done:06d}.png")


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that replace their predecessor only when they are whole: a kill, or a full disk, loses nothing."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        part = f"{path}.part"
        super().save_checkpoint(checkpoint, part, storage_options)
        os.replace(part, path)
