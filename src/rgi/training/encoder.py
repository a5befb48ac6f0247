"""Training of an encoder E, a network that predicts the start of an inversion.

    min over E   mean |G(E(x̃)) - G(z)|² + w mean |E(x̃) - z|²

Here z ~ N(0,1), and x̃ is a corrupted copy of the sample G(z). The corruption teaches the encoder to ignore corrupted
pixels. Without the second term, the predicted codes grow to several times the norm of N(0,1), and Adam then needs many
more steps in the inversion.
"""

import copy
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

MAX_FRACTION = 0.5  # highest share of corrupted pixels in an image
CLEAN_FRACTION = 0.25  # share of images without corruption
CORRELATION_LENGTHS = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the corrupted regions, in units of the image side
LATENT_WEIGHT = 0.1  # w
WARMUP_FRACTION = 0.1  # share of the steps in which the learning rate rises


class EncoderTraining(LightningModule):
    """Training of an encoder for a fixed generator.

    Args:
        gan: GAN whose generator makes the training images; it stays unchanged and on its device.
        steps: number of training steps. The learning rate rises during the first tenth, and falls to 0 as a cosine.
        batch_size: number of samples per step and process.
        lr: highest learning rate of AdamW.
        width: number of feature maps at full resolution, see `rgi.generators.encoder.Encoder`.
        max_width: highest number of feature maps in a layer.
        seed: seed of samples and corruptions.

    Raises:
        InputError: an option is out of range.
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
        """Number of finished steps."""
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
        # A copy, because the GAN's other networks stay on their device, and each of them must meet the generator there.
        self.network = SharedWeights(copy.deepcopy(self.gan.generator).to(self.device), dtype)

    def train_dataloader(self) -> DataLoader:
        """A loader of step numbers; `training_step` draws the samples on the device."""
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
                f"encoder step {self.steps_done}: the loss is not finite; start again with a lower generator.encoder.lr"
            )
        self.log("encoder_image_loss", image_loss, prog_bar=True)
        return loss

    def trained_encoder(self) -> Encoder:
        """The encoder in evaluation mode, float32 on the CPU."""
        return self.encoder.float().cpu().eval().requires_grad_(False)


def corrupt(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Corrupt images with random regions, random contents and weak noise; returns images (B,C,H,W).

    Args:
        clean: clean images (B,C,H,W) in [-1,1].
        generator: source of all random numbers, on the CPU.
    """
    count, resolution = len(clean), clean.shape[-1]
    fractions = MAX_FRACTION * torch.rand(count, generator=generator)
    fractions *= torch.rand(count, generator=generator) >= CLEAN_FRACTION
    length, kind = (
        int(torch.randint(len(choices), (1,), generator=generator)) for choices in (CORRELATION_LENGTHS, ENCODER_FILLS)
    )
    masks = regions(fractions, resolution, CORRELATION_LENGTHS[length] * resolution, generator)
    noise = 0.05 * torch.rand(count, 1, 1, 1, generator=generator) * torch.randn(clean.shape, generator=generator)
    return fill(clean, masks, ENCODER_FILLS[kind], generator) + noise.to(clean)
