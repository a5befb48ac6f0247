"""The encoder learns to look through corruption, and leaves the generator alone."""

import copy
import math

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi.errors import InputError
from rgi.training.encoder import EncoderTraining, corrupt


def training(gan, **changes) -> EncoderTraining:
    torch.manual_seed(0)
    return EncoderTraining(
        gan, **{"steps": 60, "batch_size": 64, "lr": 5e-3, "width": 8, "max_width": 16, "seed": 0} | changes
    )


def run(module: EncoderTraining, monkeypatch, steps: int) -> list[float]:
    """Training steps without a trainer; returns the losses."""
    done = 0
    monkeypatch.setattr(EncoderTraining, "steps_done", property(lambda _: done))
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.on_fit_start()
    parts = module.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    losses = []
    for _ in range(steps):
        loss = module.training_step(torch.tensor([done]), done)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        done += 1
    return losses


def test_it_learns_to_look_through_corruption(monkeypatch):
    """Its guess for corrupted images comes nearer to the clean ones than any fixed guess."""
    gan = tiny_gan()
    before = copy.deepcopy(gan.generator.state_dict())
    module = training(gan)
    run(module, monkeypatch, 60)
    clean = gan.generator(torch.randn(64, 8))
    corrupted = corrupt(clean, torch.Generator().manual_seed(9))
    assert not corrupted.equal(clean)
    encoder = module.trained_encoder()
    error = (gan.generator(encoder(corrupted)) - clean).square().mean()
    assert error < 0.8 * clean.sub(clean.mean(0)).square().mean()
    assert all(value.equal(before[name]) for name, value in gan.generator.state_dict().items())


def test_a_step_depends_on_seed_and_step_alone(monkeypatch):
    first, again, other = (run(training(tiny_gan(), seed=seed), monkeypatch, 2) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("batch_size", 0), ("width", 1.5), ("max_width", -1), ("lr", 0), ("lr", "fast"), ("lr", math.nan)],
)
def test_bad_options_are_named(name, value):
    with pytest.raises(InputError, match=f"^generator.encoder.{name}={value}: must be "):
        training(tiny_gan(), **{name: value})


def test_a_loss_that_is_not_finite_stops_with_the_step(monkeypatch):
    gan = tiny_gan()
    gan.generator.to_image.bias.data.fill_(torch.nan)
    with pytest.raises(InputError, match=r"encoder step 0.*generator.encoder.lr"):
        run(training(gan), monkeypatch, 1)
