"""Every network of a GAN lies on one device, whatever device its training ran on.

The device "meta" stands in for a GPU: PyTorch refuses an operation on a tensor there and one of the CPU.
"""

import pytest
import torch
from helpers.small_training import SIZES, small_training
from helpers.steps import Steps
from torch import nn

from rgi import SolverConfig, invert
from rgi.evaluation.clean_residuals import clean_residuals
from rgi.generators.store import GAN, Card
from rgi.training.encoder import EncoderTraining

OTHER = torch.device("meta")
QUICK = SolverConfig(iterations=2, pool_size=4, latent_start="encoder")


def devices(*modules: nn.Module) -> set[str]:
    return {tensor.device.type for module in modules for tensor in module.state_dict().values()}


def back_from_other(module: nn.Module) -> None:
    """What Lightning does at the end of a training; values are lost on "meta", so these are new ones."""
    module.to_empty(device="cpu")
    for tensor in module.state_dict().values():
        tensor.fill_(0.01)


def encoder_training(gan: GAN) -> EncoderTraining:
    return EncoderTraining(gan, steps=3, batch_size=2, lr=1e-3, width=2, max_width=4, seed=0)


def one_encoder_step(module: EncoderTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step on the stand-in, which raises an error if tensors of two devices meet."""
    monkeypatch.setattr(EncoderTraining, "global_step", 0)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.to(OTHER)
    module.on_fit_start()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "isfinite", lambda _: True)  # no value on "meta" can be read
        loss = module.training_step(torch.tensor([0]), 0)
    assert loss.device == OTHER
    loss.backward()


def test_a_gan_keeps_its_device_while_its_encoder_trains_on_another(monkeypatch):
    """The walk of a pretraining: generator, encoder, calibration, inversion."""
    training = small_training()
    plan = encoder_training(training.current_gan(Card(**SIZES)))
    Steps(training, monkeypatch).run(torch.rand(8, 1, 32, 32) - 0.5)
    gan = training.gan(Card(**SIZES))
    one_encoder_step(plan, monkeypatch)
    assert devices(training) == {"cpu"}
    assert training.samples(2).device.type == "cpu"
    plan.gan = gan
    one_encoder_step(plan, monkeypatch)
    back_from_other(plan)
    gan.encoder = plan.trained_encoder()
    assert devices(*gan.modules().values()) == {"cpu"}
    assert len(clean_residuals(gan, torch.zeros(2, 1, 32, 32), QUICK).residuals) == 6
    assert invert(gan, torch.zeros(2, 1, 32, 32), QUICK).restored.isfinite().all()


def test_the_training_stays_where_it_is_when_it_hands_out_its_gan():
    """The file's GAN is on the CPU; the networks that train on are not moved."""
    training = small_training()
    gan = training.gan(Card(**SIZES))
    training.to(OTHER)
    assert devices(*gan.modules().values()) == {"cpu"}
    assert devices(training.average, training.critic, training.generator) == {"meta"}
    assert training.samples(2).device == OTHER
    assert devices(training.current_gan(Card(**SIZES)).generator) == {"meta"}


def test_a_step_of_the_generator_meets_one_device(monkeypatch):
    training = small_training().to(OTHER)
    steps = Steps(training, monkeypatch)
    steps.done = 1  # not a step in which losses are read
    monkeypatch.setattr(training.average, "update_parameters", lambda _: None)  # reads a counter's value
    steps.run(torch.empty(8, 1, 32, 32, device=OTHER))
    assert devices(training) == {"meta"}
