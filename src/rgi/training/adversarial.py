"""What every training of a GAN here shares: generator and critic in turn, an averaged generator, and resuming.

A subclass brings the two losses. All randomness of a step is a function of seed, step and process, so that a training
that was killed goes on, on a CPU bit by bit, as if it had not been.
"""

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rgi.errors import InputError
from rgi.generators import build
from rgi.generators.store import GAN, Card
from rgi.validation import Betas, Count, Positive, Seed, Share, Text, checked

LOG_INTERVAL = 50  # steps; reading a loss makes a GPU wait


class AdversarialTraining(LightningModule):
    """Generator and critic in turn, one Adam each.

    Args:
        family, latent_dim, channels, resolution, options: the networks, as `rgi.generators.build` takes them.
        steps: of the whole training, one of the critic and one of the generator each.
        lr, betas: of both Adams.
        ema: decay per step of the averaged generator, which is the one that is kept.
        seed: of latent codes and everything else that is drawn.

    Raises:
        InputError: an option out of range, or networks that cannot be built.
    """

    @checked("generator.training")
    def __init__(
        self,
        family: Text,
        latent_dim: Count,
        channels: Count,
        resolution: Count,
        options: dict[str, Any],
        steps: Count,
        lr: Positive,
        betas: Betas,
        ema: Share,
        seed: Seed,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        sizes = dict(latent_dim=latent_dim, channels=channels, resolution=resolution)
        self.architecture = {"family": family, **sizes, "options": options}
        self.steps, self.lr, self.betas, self.seed = steps, lr, betas, seed
        self.first_step = 0
        # Convolutions run up to a sixth faster in this layout on a CPU, and tensor cores want it.
        networks = (network.to(memory_format=torch.channels_last) for network in build(family, **sizes, **options))
        self.generator, self.critic = networks
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
        self.average.requires_grad_(False)  # so that DDP does not wait for its gradients
        self.finite = torch.tensor(True)
        self.losses: dict[str, float] = {}

    @abstractmethod
    def critic_loss(self, real: Tensor, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """What the critic minimises, given images (B,C,H,W) in [-1,1] and latent codes (B,d)."""

    @abstractmethod
    def generator_loss(self, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """What the generator minimises; the critic's weights do not require gradients."""

    def begin_step(self, step: int) -> None:
        """Called before each step."""

    @property
    def complete(self) -> bool:
        """Whether the generator makes images of full resolution yet."""
        return True

    @property
    def steps_done(self) -> int:
        """Generator steps so far, those before this training included."""
        return self.first_step + self.global_step

    def start_from(self, gan: GAN) -> None:
        """Go on with the networks of a finished training, with fresh optimisers.

        Raises:
            InputError: another architecture or resolution, no critic, or as many steps as this training has.
        """
        card = gan.card
        theirs = {name: getattr(card, name) for name in self.architecture}
        self._compare(theirs, f"the generator file of {card.steps} steps")
        if gan.critic is None:
            raise InputError("the generator file has no critic to train on; name another generator.path")
        for network in (self.generator, self.average.module):
            network.load_state_dict(gan.generator.state_dict())
        self.critic.load_state_dict(gan.critic.state_dict())
        self.average.n_averaged.fill_(1)
        self.first_step = card.steps

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        fused = self.device.type in ("cpu", "cuda")
        return [
            torch.optim.Adam(network.parameters(), lr=self.lr, betas=self.betas, fused=fused)
            for network in (self.critic, self.generator)
        ]

    def training_step(self, real: Tensor, index: int) -> None:
        step = self.steps_done
        self.begin_step(step)
        random = self.random(step)
        for_critic, for_generator = self.latents(len(real), random)
        # Lightning counts every optimiser's steps as its own, and max_steps with them, unless it does not see one.
        critic_optimizer, _ = self.optimizers(use_pl_optimizer=False)
        _, generator_optimizer = self.optimizers()

        critic_loss = self.critic_loss(real, for_critic, step, random)
        self._descend(critic_optimizer, self.critic, critic_loss)
        self.critic.requires_grad_(False)
        generator_loss = self.generator_loss(for_generator, step, random)
        self._descend(generator_optimizer, self.generator, generator_loss)
        self.critic.requires_grad_(True)
        self.average.update_parameters(self.generator)

        self.finite = self.finite.to(real.device) & critic_loss.isfinite() & generator_loss.isfinite()
        if step % LOG_INTERVAL == 0:
            self._stop_unless_finite(step)
            self.losses = {"critic_loss": critic_loss.item(), "generator_loss": generator_loss.item()}
            self.log_dict(self.losses)

    def random(self, step: int) -> torch.Generator:
        """What everything in this step is drawn from, on this process."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 1009 + self.global_rank)

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """Codes (2,B,d) ~ N(0,1) of both half-steps."""
        return torch.randn(2, count, self.architecture["latent_dim"], generator=random).to(self.device)

    def _descend(self, optimizer: Any, network: torch.nn.Module, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.modify_gradients(network)
        optimizer.step()
        torch.clear_autocast_cache()  # it would go on with the weights of before the step

    def modify_gradients(self, network: torch.nn.Module) -> None:
        """Called between a backward pass and its step."""

    def _stop_unless_finite(self, step: int) -> None:
        if not self.finite:
            raise InputError(
                f"training step {step}: a loss is not finite; start anew with a smaller generator.training.lr, or with "
                "trainer.precision=32-true if that was bf16-mixed"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is never written after a loss that was not finite, so that the last good one stays."""
        self._stop_unless_finite(self.steps_done)
        checkpoint |= {"architecture": self.architecture, "losses": self.losses}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The losses last read come back, so that a resumed training reports what an uninterrupted one would."""
        self._compare(checkpoint.get("architecture", {}), "the checkpoint")
        self.losses = checkpoint["losses"]

    def _compare(self, theirs: dict[str, Any], what: str) -> None:
        for name, ours in self.architecture.items():
            if theirs.get(name) != ours:
                raise InputError(
                    f"{what} has {name} {theirs.get(name)}, the configuration {ours}; name another output_dir and "
                    "generator.path, or use the configuration it was made with"
                )

    def current_gan(self, card: Card) -> GAN:
        """The averaged generator as it is trained, for what is done with it meanwhile or afterwards."""
        return GAN(self.average.module, None, None, card)

    def gan(self, card: Card) -> GAN:
        """The averaged generator and the critic, on the CPU."""
        return GAN(self.average.module.float().cpu(), self.critic.float().cpu(), None, card)

    @torch.no_grad()
    def samples(self, count: int) -> Tensor:
        """Images (count,C,H,W) of the averaged generator from fixed codes; smaller ones while it grows."""
        codes = torch.randn(count, self.architecture["latent_dim"], generator=torch.Generator().manual_seed(0))
        self.average.eval()
        chunks = [self.generate(self.average.module, part).float() for part in codes.to(self.device).split(64)]
        return torch.cat(chunks)

    def generate(self, generator: torch.nn.Module, codes: Tensor) -> Tensor:
        """Images of a generator as far as it has grown."""
        return generator(codes)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that replace their predecessor only when they are whole: a kill, or a full disk, loses nothing."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        part = Path(f"{path}.part")
        try:
            super().save_checkpoint(checkpoint, part, storage_options)
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise InputError(
                f"{path}: cannot be written ({error.strerror or error}); the checkpoint before it is whole: make room "
                "and start the command again"
            ) from error
