"""The pretraining step against its equations, and what it leaves behind."""

import copy

import pytest
import torch
from torch.nn.functional import softplus

from rgi import SolverConfig, invert
from rgi.errors import InputError
from rgi.generators.store import Card
from rgi.modules.adversarial import R1_EVERY, AdversarialTraining

SIZES = {"family": "compact", "latent_dim": 8, "channels": 1, "resolution": 32, "options": {"width": 4}}


def module(**changes) -> AdversarialTraining:
    torch.manual_seed(0)
    settings = {"lr": 1e-2, "betas": (0.5, 0.99), "r1": 0.7, "ema": 0.9, "seed": 0} | changes
    return AdversarialTraining(**SIZES, **settings)


class Steps:
    """Runs training steps without a trainer."""

    def __init__(self, training: AdversarialTraining, monkeypatch: pytest.MonkeyPatch) -> None:
        self.training, self.done = training, 0
        optimizers = training.configure_optimizers()
        monkeypatch.setattr(training, "optimizers", lambda: optimizers)
        monkeypatch.setattr(training, "manual_backward", lambda loss: loss.backward())
        monkeypatch.setattr(training, "log_dict", lambda *_, **__: None)
        monkeypatch.setattr(type(training), "steps_done", property(lambda _: self.done))

    def run(self, real: torch.Tensor) -> None:
        self.training.training_step(real, self.done)
        self.done += 1


def test_one_step_follows_the_equations(monkeypatch):
    """A step in float64 equals Adam on the two losses, written out by hand."""
    training = module().double()
    monkeypatch.setattr(
        training, "_latents", lambda n, _: torch.randn(2, n, 8, generator=torch.Generator().manual_seed(5)).double()
    )
    monkeypatch.setattr(training, "_r1", lambda real: penalty(training.critic, real))
    real = torch.rand(8, 1, 32, 32).double() - 0.5

    def penalty(critic, images):
        images = images.clone().requires_grad_()
        total = 0
        gradients = torch.autograd.grad(critic(images, together=True).sum(), images, create_graph=True)[0]
        for gradient in gradients:
            total = total + (gradient**2).sum()
        return total / len(images)

    generator, critic = copy.deepcopy(training.generator), copy.deepcopy(training.critic)
    for_critic, for_generator = training._latents(8, 0)
    adam = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.99))
    fake = generator(for_critic).detach()
    loss = softplus(-critic(real, True)).mean() + softplus(critic(fake, True)).mean()
    (loss + R1_EVERY * 0.7 / 2 * penalty(critic, real)).backward()
    adam.step()
    adam = torch.optim.Adam(generator.parameters(), lr=1e-2, betas=(0.5, 0.99))
    softplus(-critic(generator(for_generator), True)).mean().backward()
    adam.step()

    Steps(training, monkeypatch).run(real)
    for ours, theirs in ((training.generator, generator), (training.critic, critic)):
        for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, msg=name)


def test_penalty_is_the_squared_gradient_norm():
    """R1 of a linear critic is the squared norm of its weights."""
    training = module()
    weight = torch.randn(32 * 32)
    training.critic.forward = lambda image, together: image.flatten(1) @ weight
    torch.testing.assert_close(training._r1(torch.randn(5, 1, 32, 32)), weight.square().sum())


def test_latents_depend_on_seed_and_step_alone():
    training, again, other = module(), module(), module(seed=1)
    assert training._latents(4, 7).equal(again._latents(4, 7))
    assert not training._latents(4, 7).equal(training._latents(4, 8))
    assert not training._latents(4, 7).equal(other._latents(4, 7))


def test_average_follows_the_generator(monkeypatch):
    """The averaged weights are the exponential moving average of the trained ones."""
    training = module()
    steps, real = Steps(training, monkeypatch), torch.rand(8, 1, 32, 32) - 0.5
    expected = None
    for _ in range(4):
        steps.run(real)
        now = training.generator.to_image.weight.detach().clone()
        expected = now if expected is None else 0.9 * expected + 0.1 * now
    torch.testing.assert_close(training.average.module.to_image.weight, expected)


def test_training_learns_a_trivial_distribution(monkeypatch):
    """Images of one constant grey: samples come near it within a few steps."""
    training = module(lr=5e-3)
    steps = Steps(training, monkeypatch)
    before = (training.samples(16) - 0.3).abs().mean()
    for _ in range(25):
        steps.run(torch.full((8, 1, 32, 32), 0.3) + 0.02 * torch.randn(8, 1, 32, 32))
    assert (training.samples(16) - 0.3).abs().mean() < 0.6 * before


def test_what_is_trained_inverts(monkeypatch):
    training = module()
    Steps(training, monkeypatch).run(torch.rand(8, 1, 32, 32) - 0.5)
    gan = training.gan(Card(**SIZES))
    found = invert(gan, torch.zeros(1, 1, 32, 32), SolverConfig(iterations=3, pool_size=5))
    assert found.restored.isfinite().all()
    assert gan.critic(torch.zeros(2, 1, 32, 32)).shape == (2,)


def test_a_loss_that_is_not_finite_stops_with_the_step(monkeypatch):
    training = module()
    with pytest.raises(InputError, match=r"training step 0.*generator.training.lr"):
        Steps(training, monkeypatch).run(torch.full((8, 1, 32, 32), torch.nan))
