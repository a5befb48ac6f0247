"""Base class of GAN trainings: alternating steps of critic and generator, weight averaging, and resuming.

Subclasses define the two losses. The random numbers of a step depend only on the seed, the step and the process. A
killed training therefore continues exactly: on a CPU, the results are bitwise equal to those of an uninterrupted one.
"""

import copy
import os
import pickle
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
from rgi.generators.zoo import READ_ERRORS
from rgi.validation import Betas, Count, Positive, Seed, Share, Text, checked

LOG_INTERVAL = 50  # steps between two readings of the losses; each reading makes the CPU wait for the GPU


class AdversarialTraining(LightningModule):
    """Training with alternating Adam steps of critic and generator.

    Args:
        family: name of the generator family, see `rgi.generators`.
        latent_dim: dimension d of a latent code.
        channels: number of channels C of an image.
        resolution: height and width of an image in pixels.
        options: further arguments of the family's ``build``.
        steps: total number of steps; one step updates the critic once and the generator once.
        lr: learning rate of both Adam optimisers.
        betas: β₁ and β₂ of both Adam optimisers.
        ema: decay per step of the exponential moving average of the generator's weights. The result of the training is
            the averaged generator.
        seed: seed of all random numbers.

    Raises:
        InputError: an option is out of range, or the networks cannot be built.
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
        self.first_step, self.continues = 0, False
        self.generator, self.critic = build(family, **sizes, **options)
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
        self.average.requires_grad_(False)  # otherwise DDP would wait for gradients of the average
        self.finite = torch.tensor(True)
        self.losses: dict[str, float] = {}

    @abstractmethod
    def critic_loss(self, real: Tensor, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """Loss of the critic, a scalar.

        Args:
            real: training images (B,C,H,W) in [-1,1].
            codes: latent codes (B,d).
            step: number of the step, from 0.
            random: source of all random numbers, on the CPU.
        """

    @abstractmethod
    def generator_loss(self, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """Loss of the generator, a scalar; the critic's weights do not require gradients here.

        Args:
            codes: latent codes (B,d).
            step: number of the step, from 0.
            random: source of all random numbers, on the CPU.
        """

    def begin_step(self, step: int) -> None:
        """Hook that is called before each step."""

    @property
    def complete(self) -> bool:
        """Whether the generator already makes images in full resolution."""
        return True

    @property
    def steps_done(self) -> int:
        """Number of finished steps, including the steps of an earlier training that this one continues."""
        return self.first_step + self.global_step

    def start_from(self, gan: GAN) -> None:
        """Continue from the networks of a finished training, with new optimisers.

        Args:
            gan: GAN with a critic and the same architecture.

        Raises:
            InputError: the architecture differs, or the GAN has no critic.
        """
        card = gan.card
        architecture = {name: getattr(card, name) for name in self.architecture}
        self._compare(architecture, f"the generator file of {card.steps} steps")
        if gan.critic is None:
            raise InputError("the generator file has no critic for a further training; name another generator.path")
        for network in (self.generator, self.average.module):
            network.load_state_dict(gan.generator.state_dict())
        self.critic.load_state_dict(gan.critic.state_dict())
        self.average.n_averaged.fill_(1)
        self.first_step, self.continues = card.steps, True

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
        # Lightning counts the steps of all optimisers towards max_steps, so the critic's optimiser is hidden from it.
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
        """Source of the random numbers of a step on this process."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 1009 + self.global_rank)

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """Latent codes (2,B,d) ~ N(0,1), for the critic and for the generator."""
        return torch.randn(2, count, self.architecture["latent_dim"], generator=random).to(self.device)

    def _descend(self, optimizer: Any, network: torch.nn.Module, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.modify_gradients(network)
        optimizer.step()
        torch.clear_autocast_cache()  # the cache still has the weights before the step

    def modify_gradients(self, network: torch.nn.Module) -> None:
        """Hook that is called between the backward pass and the optimiser's step."""

    def _stop_unless_finite(self, step: int) -> None:
        if not self.finite:
            raise InputError(
                f"training step {step}: a loss is not finite; start again with a smaller generator.training.lr, or "
                "with trainer.precision=32-true instead of bf16-mixed"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stop before writing a checkpoint after a loss that is not finite; the previous checkpoint stays."""
        self._stop_unless_finite(self.steps_done)
        checkpoint |= {"architecture": self.architecture, "losses": self.losses}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the last losses, so that a resumed training reports the same losses as an uninterrupted one."""
        self._compare(checkpoint.get("architecture", {}), "the checkpoint")
        self.losses = checkpoint["losses"]

    def _compare(self, architecture: dict[str, Any], source: str) -> None:
        """Raise an error if another source has another architecture."""
        for name, value in self.architecture.items():
            if architecture.get(name) != value:
                raise InputError(
                    f"{source} has {name} {architecture.get(name)}, but the configuration has {value}; name another "
                    "output_dir and generator.path, or use the original configuration"
                )

    def current_gan(self, card: Card) -> GAN:
        """The averaged generator without critic, on the training device, for measurements during the training.

        The generator is the training's own: it follows each step.
        """
        return GAN(self.average.module, None, None, card)

    def gan(self, card: Card) -> GAN:
        """Copies of the averaged generator and of the critic in float32 on the CPU, with the given card."""
        networks = [copy.deepcopy(network).float().cpu() for network in (self.average.module, self.critic)]
        return GAN(*networks, None, card)

    @torch.no_grad()
    def samples(self, count: int) -> Tensor:
        """Images (count,C,H,W) of the averaged generator from fixed latent codes, at its current resolution."""
        codes = torch.randn(count, self.architecture["latent_dim"], generator=torch.Generator().manual_seed(0))
        self.average.eval()
        chunks = [self.generate(self.average.module, part).float() for part in codes.to(self.device).split(64)]
        return torch.cat(chunks)

    def generate(self, generator: torch.nn.Module, codes: Tensor) -> Tensor:
        """Images of a generator from latent codes (B,d), at its current resolution."""
        return generator(codes)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoint files that replace the previous file only after a complete write, so no checkpoint is lost."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        part = Path(f"{path}.part")
        try:
            super().save_checkpoint(checkpoint, part, storage_options)
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise InputError(
                f"{path}: cannot be written ({error.strerror or error}); free disk space and run the command again to "
                "continue from the previous checkpoint"
            ) from error

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint of a training with PyTorch's restricted unpickler, on the CPU.

    Args:
        path: checkpoint file.
        mmap: whether the weights stay on disk until they are used.

    Raises:
        InputError: the file is damaged, or holds anything else than the state of a training.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        if {"global_step", "state_dict"} <= checkpoint.keys():
            return checkpoint
    except (pickle.UnpicklingError, *READ_ERRORS) as error:
        raise _no_checkpoint(path) from error
    raise _no_checkpoint(path)


def _no_checkpoint(path: Path) -> InputError:
    return InputError(
        f"{path}: is no checkpoint of a training, or damaged; nothing of it was run; remove the file to begin anew"
    )
