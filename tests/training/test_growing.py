"""The progressive GAN's training against the published procedure, written out on a network small enough for it."""

import copy
from math import sqrt

import pytest
import torch
from helpers.steps import Steps, fixed_latents
from torch.nn.functional import avg_pool2d, conv2d, interpolate, linear

from rgi.errors import InputError
from rgi.generators.store import Card
from rgi.training.growing import GrowingTraining

SIZES = {"family": "progressive", "latent_dim": 6, "channels": 3, "resolution": 16, "options": {"widths": [8, 6, 4]}}


def module(**changes) -> GrowingTraining:
    torch.manual_seed(0)
    return GrowingTraining(**SIZES | {"steps": 1000, "lr": 1e-3, "betas": (0, 0.99), "ema": 0.9, "seed": 0} | changes)


def published(scale: int, step: int) -> float:
    """α by the reference's two lists: 600 jumps, one every 32 steps."""
    alpha = 1.0
    for jump in range(1, 601):
        if step >= 32 * jump:
            alpha = 1 - jump / 600
    return alpha if scale else 0.0


def test_the_published_schedule():
    """48,000 steps, then 96,000 for each of five scales; α in 600 jumps every 32 steps."""
    training = module(resolution=128, options={"widths": [2] * 6}, steps=528_000)
    assert [training.first_step_of_scale(scale) for scale in range(6)] == [0, *range(48_000, 528_000, 96_000)]
    for scale in range(6):
        first = training.first_step_of_scale(scale)
        for step in (0, 1, 31, 32, 33, 9_599, 9_600, 19_199, 19_200, 19_201, 47_999):
            assert training.scale_and_alpha(first + step) == (scale, pytest.approx(published(scale, step), abs=1e-12))
    assert training.scale_and_alpha(527_999) == (5, 0.0)


@pytest.mark.parametrize("steps", [5, 37, 1000])
def test_any_other_number_of_steps_has_the_same_proportions(steps):
    training = module(steps=steps)
    places = [training.scale_and_alpha(step) for step in range(steps)]
    scales = [scale for scale, _ in places]
    assert scales == sorted(scales)
    for scale, share in enumerate((1, 2, 2)):
        assert scales.count(scale) == pytest.approx(share * steps / 5, abs=1)
        assert places[training.first_step_of_scale(scale)] == (scale, float(scale > 0))
    assert places[-1] == (2, 0.0) or steps == 5
    faded = sum(alpha > 0 for _, alpha in places)
    assert faded == pytest.approx(2 * 0.2 * 2 * steps / 5, abs=2)


def equalised(x, weight, bias):
    """Weights and bias share the gain."""
    gain = sqrt(2 / weight[0].numel())
    if weight.ndim == 2:
        return linear(x, weight * gain, bias * gain)
    return conv2d(x, weight * gain, bias * gain, padding=weight.shape[-1] // 2)


def leaky(x):
    return torch.where(x > 0, x, 0.2 * x)


def normalised(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def doubled(x):
    return interpolate(x, scale_factor=2, mode="nearest")


def plain_generator(w, z, alpha):
    """At 8 pixels."""
    x = leaky(equalised(normalised(z), w["format.weight"], w["format.bias"])).reshape(len(z), -1, 4, 4)
    x = normalised(leaky(equalised(normalised(x), w["base.weight"], w["base.bias"])))
    old = equalised(x, w["to_image.0.weight"], w["to_image.0.bias"])
    x = doubled(x)
    for layer in ("scales.0.0", "scales.0.1"):
        x = normalised(leaky(equalised(x, w[f"{layer}.weight"], w[f"{layer}.bias"])))
    new = equalised(x, w["to_image.1.weight"], w["to_image.1.bias"])
    return alpha * doubled(old) + (1 - alpha) * new


def plain_critic(w, image, alpha):
    """At 8 pixels, the batch in groups of four."""
    x = leaky(equalised(image, w["from_image.1.weight"], w["from_image.1.bias"]))
    for layer in ("scales.0.0", "scales.0.1"):
        x = leaky(equalised(x, w[f"{layer}.weight"], w[f"{layer}.bias"]))
    old = leaky(equalised(avg_pool2d(image, 2), w["from_image.0.weight"], w["from_image.0.bias"]))
    x = alpha * old + (1 - alpha) * avg_pool2d(x, 2)
    groups = x.reshape(-1, 4, *x.shape[1:])
    deviation = [(group.var(0, unbiased=True) + 1e-8).sqrt().mean() for group in groups]
    maps = torch.stack([value.expand(1, 4, 4) for value in deviation for _ in range(4)])
    x = leaky(equalised(torch.cat([x, maps], 1), w["conv.weight"], w["conv.bias"]))
    x = leaky(equalised(x.flatten(1), w["linear.weight"], w["linear.bias"]))
    return equalised(x, w["decision.weight"], w["decision.bias"])[:, 0]


def weights(network):
    return {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}


@pytest.mark.parametrize("count", [8, 4])
def test_losses_and_gradients_of_one_step(count, monkeypatch):
    """In float64, in the middle of a fade: both losses, every gradient, and both Adam steps."""
    training = module().double()
    step = training.first_step_of_scale(1) + 30
    scale, alpha = training.scale_and_alpha(step)
    assert (scale, 0 < alpha < 1) == (1, True)
    fixed_latents(training, monkeypatch, torch.float64)
    steps = Steps(training, monkeypatch)
    steps.done = step
    generator, critic = weights(training.generator), weights(training.critic)
    real = torch.rand(count, 3, 16, 16).double() * 2 - 1
    z_critic, z_generator = training.latents(count, None)

    small = interpolate(real, size=8, mode="bilinear", antialias=True)
    small = alpha * doubled(avg_pool2d(small, 2)) + (1 - alpha) * small
    share = torch.rand(count, 1, 1, 1, generator=torch.Generator().manual_seed(step * 1009)).double()
    fake = plain_generator(generator, z_critic, alpha).detach()
    mixed = (share * small + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(plain_critic(critic, mixed, alpha).sum(), mixed, create_graph=True)
    for_real = plain_critic(critic, small, alpha)
    critic_loss = -for_real.sum() + plain_critic(critic, fake, alpha).sum() + 0.001 * for_real.square().sum()
    critic_loss = critic_loss + 10 * sum((s.square().sum().sqrt() - 1) ** 2 for s in slope)
    critic_loss.backward()
    used = [p for p in critic.values() if p.grad is not None]
    torch.optim.Adam(used, lr=1e-3, betas=(0.0, 0.99)).step()
    frozen = {name: p.detach() for name, p in critic.items()}
    generator_loss = -plain_critic(frozen, plain_generator(generator, z_generator, alpha), alpha).sum()
    generator_loss.backward()
    torch.optim.Adam([p for p in generator.values() if p.grad is not None], lr=1e-3, betas=(0.0, 0.99)).step()

    kept = {}
    monkeypatch.setattr(
        training,
        "modify_gradients",
        lambda network: kept.update({id(network): {n: p.grad for n, p in network.named_parameters()}}),
    )
    losses = []
    monkeypatch.setattr(training, "manual_backward", lambda loss: losses.append(loss.item()) or loss.backward())
    steps.run(real)
    torch.testing.assert_close(losses, [critic_loss.item(), generator_loss.item()], rtol=1e-10, atol=1e-10)
    for network, plain in ((training.critic, critic), (training.generator, generator)):
        for name, parameter in network.named_parameters():
            ours = kept[id(network)][name]
            if plain[name].grad is None:
                assert ours is None or not ours.any(), name
            else:
                torch.testing.assert_close(ours, plain[name].grad, rtol=1e-9, atol=1e-11, msg=name)
            torch.testing.assert_close(parameter, plain[name], rtol=1e-10, atol=1e-10, msg=name)


def test_a_new_scale_begins_with_fresh_optimisers_and_average(monkeypatch):
    training = module(steps=10)
    steps = Steps(training, monkeypatch)
    critic_adam, _ = training.optimizers()
    real = torch.rand(4, 3, 16, 16)
    ages, distances = [], []
    for _ in range(10):
        steps.run(real)
        ages.append(int(critic_adam.state[training.critic.conv.weight]["step"]))
        distances.append((training.average.module.base.weight - training.generator.base.weight).norm().item())
    assert ages == [1, 2, 1, 2, 3, 4, 1, 2, 3, 4]
    # After the first step of a scale the average is nine tenths of where the generator began it.
    assert distances[2] < distances[1]
    assert distances[6] < distances[5]


def test_the_average_of_a_scale(monkeypatch):
    training = module(steps=10)
    steps, real = Steps(training, monkeypatch), torch.rand(4, 3, 16, 16)
    expected = training.generator.base.weight.detach().clone()
    for _ in range(2):
        steps.run(real)
        expected = 0.9 * expected + 0.1 * training.generator.base.weight.detach()
    torch.testing.assert_close(training.average.module.base.weight, expected)
    expected = training.generator.base.weight.detach().clone()
    steps.run(real)
    expected = 0.9 * expected + 0.1 * training.generator.base.weight.detach()
    torch.testing.assert_close(training.average.module.base.weight, expected)


def test_samples_have_the_size_it_has_grown_to(monkeypatch):
    training = module(steps=10)
    steps = Steps(training, monkeypatch)
    sides, complete = [], []
    for _ in range(10):
        steps.run(torch.rand(4, 3, 16, 16))
        sides.append(training.samples(2).shape[-1])
        complete.append(training.complete)
    assert sides == [4] * 2 + [8] * 4 + [16] * 4
    assert complete == [False] * 7 + [True] * 3


@pytest.mark.parametrize("done", [10, 4, 6, 0])  # in a longer schedule these are early scales, or first steps of scales
def test_a_finished_generator_goes_on_at_full_resolution(done, monkeypatch):
    gan = module(steps=10).gan(Card(**SIZES, steps=done))
    training = module(steps=20, seed=1)
    training.start_from(gan)
    before = training.average.module.to_image[-1].weight.clone()
    assert training.complete
    assert {training.scale_and_alpha(step) for step in range(20)} == {(2, 0.0)}
    steps = Steps(training, monkeypatch)
    assert training.samples(2).equal(gan.generator(fixed_codes()))
    for _ in range(2):
        steps.run(torch.rand(4, 3, 16, 16))
        assert training.complete
        assert training.samples(2).shape[-1] == 16
    critic_adam, _ = training.optimizers()
    assert critic_adam.state[training.critic.conv.weight]["step"] == 2
    assert not training.average.module.to_image[-1].weight.equal(before)
    assert not training.average.module.to_image[-1].weight.equal(training.generator.to_image[-1].weight)


def fixed_codes() -> torch.Tensor:
    """The codes of `AdversarialTraining.samples`."""
    return torch.randn(2, 6, generator=torch.Generator().manual_seed(0))


def test_gradients_that_are_not_finite_become_zero():
    training = module()
    training.critic.conv.weight.grad = torch.full_like(training.critic.conv.weight, torch.nan)
    training.critic.linear.bias.grad = torch.tensor([1.0, torch.inf, -torch.inf, 2, 0, 0, 0, 0])
    training.modify_gradients(training.critic)
    assert not training.critic.conv.weight.grad.any()
    assert training.critic.linear.bias.grad[:4].tolist() == [1, 0, 0, 2]


def test_the_penalty_under_autocast():
    """In bfloat16 it stays within 2 % of its value in float64, though it is a derivative of a derivative."""
    training = module(resolution=32, options={"widths": [32, 32, 16, 16]})
    real, fake = (torch.rand(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1).unbind()
    where, found = (3, 0.0), {}
    for name, network in (("exact", copy.deepcopy(training).double()), ("bf16", training)):
        dtype = next(network.parameters()).dtype
        with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
            value = network.penalty(real.to(dtype), fake.to(dtype), where, torch.Generator().manual_seed(0)).sum()
        value.backward()
        gradient = network.critic.conv.weight.grad.flatten().double()
        found[name] = (value.double(), gradient)
    torch.testing.assert_close(*(found[name][0] for name in ("bf16", "exact")), rtol=0.02, atol=0)
    assert torch.cosine_similarity(found["bf16"][1], found["exact"][1], dim=0) > 0.995


def test_bad_options():
    with pytest.raises(InputError, match="steps=4: too few for 3 scales; use at least 5"):
        module(steps=4)
    with pytest.raises(InputError, match=r"generator\.family=compact: cannot grow"):
        module(family="compact", resolution=32, options={})
