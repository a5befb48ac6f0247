"""The training for few images against its equations, and what its augmentation does."""

import copy

import pytest
import torch
from helpers.small_training import small_training
from helpers.steps import Steps, fixed_latents
from torch.nn.functional import softplus

from rgi.training.small_data import R1_INTERVAL, augmented


def penalty(critic, images):
    """mean |∇D|², image by image."""
    images = images.clone().requires_grad_()
    gradients = torch.autograd.grad(critic(images, together=True).sum(), images, create_graph=True)[0]
    return sum((gradient**2).sum() for gradient in gradients) / len(images)


def test_one_step_follows_the_equations(monkeypatch):
    """A step in float64 equals Adam on the two losses, written out by hand."""
    training = small_training().double()
    fixed_latents(training, monkeypatch, torch.float64)
    real = torch.rand(8, 1, 32, 32).double() - 0.5

    generator, critic = copy.deepcopy(training.generator), copy.deepcopy(training.critic)
    for_critic, for_generator = training.latents(8, None)
    adam = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.99))
    fake = generator(for_critic).detach()
    loss = softplus(-critic(real, True)).mean() + softplus(critic(fake, True)).mean()
    (loss + R1_INTERVAL * 0.7 / 2 * penalty(critic, real)).backward()
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
    training = small_training()
    weight = torch.randn(32 * 32)
    training.critic.forward = lambda image, together: image.flatten(1) @ weight
    torch.testing.assert_close(training.penalty(torch.randn(5, 1, 32, 32), None), weight.square().sum())


def test_training_learns_a_trivial_distribution(monkeypatch):
    """Images of one constant grey: samples come near it within a few steps."""
    training = small_training(lr=5e-3)
    steps = Steps(training, monkeypatch)
    before = (training.samples(16) - 0.3).abs().mean()
    for _ in range(60):
        steps.run(torch.full((8, 1, 32, 32), 0.3) + 0.02 * torch.randn(8, 1, 32, 32))
    assert (training.samples(16) - 0.3).abs().mean() < 0.6 * before


def test_augmentation_is_a_function_of_its_generator_and_differentiable():
    images = torch.rand(4, 3, 32, 32, requires_grad=True)
    first, again = (augmented(images, 1.0, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.equal(again)
    assert not first.equal(augmented(images, 1.0, torch.Generator().manual_seed(4)))
    first.sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad != 0).float().mean() > 0.5


def test_no_strength_changes_nothing():
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(augmented(images, 0.0, torch.Generator().manual_seed(0)), images)


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_shifts_and_cuts(channels, monkeypatch):
    """Without colour: every image is the original, shifted by at most an eighth, but for zeros of a square or less."""
    images = torch.rand(64, channels, 16, 16) + 0.1
    monkeypatch.setattr(torch, "rand", lambda *size, generator: torch.full(size, 0.5))
    found = augmented(images, 1.0, torch.Generator().manual_seed(0))
    shifts, holes = set(), []
    for before, after in zip(images, found, strict=True):
        padded = torch.nn.functional.pad(before, [2] * 4)
        fits = {}
        for top in range(5):
            for left in range(5):
                moved = padded[:, top : top + 16, left : left + 16]
                differs = ((moved - after).abs() > 1e-6).any(0)
                fits[top, left] = differs
        shift = min(fits, key=lambda place: fits[place].sum())
        rows, columns = (fits[shift].any(1).sum().item(), fits[shift].any(0).sum().item())
        assert after[:, fits[shift]].abs().sum() == 0
        assert rows <= 8
        assert columns <= 8
        assert fits[shift].sum() == rows * columns
        shifts.add(shift)
        holes.append(rows * columns)
    assert len(shifts) > 10
    assert max(holes) == 64
