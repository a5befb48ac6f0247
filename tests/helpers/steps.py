"""Training steps without a trainer."""

import types

import pytest
import torch

from rgi.training.adversarial import AdversarialTraining


class Steps:
    """Runs one step after another, as Lightning would."""

    def __init__(self, training: AdversarialTraining, monkeypatch: pytest.MonkeyPatch, world: int = 1) -> None:
        self.training, self.done = training, 0
        optimizers = training.configure_optimizers()
        monkeypatch.setattr(training, "optimizers", lambda use_pl_optimizer=True: optimizers)
        monkeypatch.setattr(training, "manual_backward", lambda loss: loss.backward())
        monkeypatch.setattr(training, "log_dict", lambda *_, **__: None)
        monkeypatch.setattr(type(training), "global_step", property(lambda _: self.done))
        monkeypatch.setattr(type(training), "trainer", types.SimpleNamespace(world_size=world), raising=False)

    def run(self, real: torch.Tensor) -> None:
        """A step on images (B,C,H,W)."""
        self.training.training_step(real, self.done)
        self.done += 1


def fixed_latents(training: AdversarialTraining, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    """Latent codes (2,B,d) that depend on B alone."""
    size = training.architecture["latent_dim"]
    monkeypatch.setattr(
        training,
        "latents",
        lambda n, _: torch.randn(2, n, size, generator=torch.Generator().manual_seed(5)).to(dtype),
    )
