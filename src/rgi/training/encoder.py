"""Training an encoder: a network that guesses where an inversion should start.

    min over E   mean |G(E(x̃)) - G(z)|² + w mean |E(x̃) - z|²

over z ~ N(0,1); the generator's own sample G(z) is grossly corrupted (x̃) before the encoder sees it, so that it
learns to look through the corruption, as the inversion after it does. The second term keeps its guesses where the
generator can be moved: without it they grow to several times the prior's norm, from where Adam needs many more steps.
"""

import math

import torch
from pydantic import InstanceOf
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from rgi.data.corruptions.fills import ENCODER_FILLS, fill
from rgi.data.corruptions.regions import regions
from rgi.errors import InputError
from rgi.generators.encoder import Encoder
from rgi.generators.store import GAN
from rgi.inversion.weights import SharedWeights, native_bfloat16
from rgi.training.loader import StepLoader
from rgi.validation import Count, Positive, Seed, checked

MAX_FRACTION = 0.5  # a corrupted image has lost up to this part of its pixels
CLEAN_FRACTION = 0.25  # of the images are not corrupted
CORRELATION_LENGTHS = (
    0.0,
    1 / 16,
    1 / 8,
    1 / 4,
    1 / 2,
)  # correlation lengths of the corrupted regions, of an image's side
LATENT_WEIGHT = 0.1  # w, for means over pixels and over latent coordinates
WARMUP_FRACTION = 0.1  # of the steps


class EncoderTraining(LightningModule):
    """Fits an encoder to a frozen generator.

    Args:
        gan: of which the generator is used; it is left as it is.
        steps: of the training; the rate rises over the first tenth and falls to 0 as a cosine.
        batch_size: samples in a step, on every process.
        lr: of AdamW, at its highest.
        width, max_width: of the encoder, see `rgi.generators.encoder.Encoder`.
        seed: of the samples and corruptions, which depend on seed, step and process alone.

    Raises:
        InputError: an option out of range.
    """

    @checked("generator.encoder")
    def __init__(
        self,
        gan: InstanceOf[GAN],
        steps: Count,
        batch_size: Count,
        lr: Positive,
        width: Count,
        max_width: Count,
        seed: Seed,
    ) -> None:
        super().__init__()
        self.gan, self.steps, self.batch_size, self.lr, self.seed = gan, steps, batch_size, lr, seed
        card = gan.card
        self.options = {"width": width, "max_width": max_width}
        self.encoder = Encoder(card.latent_dim, card.channels, card.resolution, **self.options)

    @property
    def steps_done(self) -> int:
        """Steps so far."""
        return self.global_step

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(self.encoder.parameters(), self.lr, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        warmup = max(1, WARMUP_FRACTION * self.steps)
        return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

    def on_fit_start(self) -> None:
        dtype = torch.bfloat16 if native_bfloat16(self.device) else torch.float32
        self.network = SharedWeights(self.gan.to(self.device).generator, dtype)

    def train_dataloader(self) -> DataLoader:
        """The numbers of the steps: the samples are drawn in `training_step`, on the device."""
        return StepLoader(range(self.steps))

    def training_step(self, _: Tensor, index: int) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.steps_done) * 1009 + self.global_rank)
        codes = torch.randn(self.batch_size, self.gan.card.latent_dim, generator=generator).to(self.device)
        with torch.no_grad():
            clean = self.network(codes)
        guess = self.encoder(corrupt(clean, generator)).float()
        image_loss = (self.network(guess) - clean).square().mean()
        loss = image_loss + LATENT_WEIGHT * (guess - codes).square().mean()
        if not torch.isfinite(loss):
            raise InputError(
                f"encoder step {self.steps_done}: the loss is not finite; try again with a smaller generator.encoder.lr"
            )
        self.log("encoder_image_loss", image_loss, prog_bar=True)
        return loss

    def trained_encoder(self) -> Encoder:
        """The encoder, on the CPU and as it will be used."""
        return self.encoder.float().cpu().eval().requires_grad_(False)


def corrupt(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B,C,H,W) with regions of all shapes and contents overwritten, and a little noise."""
    count, resolution = len(clean), clean.shape[-1]
    fractions = MAX_FRACTION * torch.rand(count, generator=generator)
    fractions *= torch.rand(count, generator=generator) >= CLEAN_FRACTION
    length, kind = (
        int(torch.randint(len(choices), (1,), generator=generator)) for choices in (CORRELATION_LENGTHS, ENCODER_FILLS)
    )
    masks = regions(fractions, resolution, CORRELATION_LENGTHS[length] * resolution, generator)
    noise = 0.05 * torch.rand(count, 1, 1, 1, generator=generator) * torch.randn(clean.shape, generator=generator)
    return fill(clean, masks, ENCODER_FILLS[kind], generator) + noise.to(clean)
