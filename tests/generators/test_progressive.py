"""The progressive family: published sizes, equalised layers, fading, batch invariance."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from rgi.errors import InputError
from rgi.generators import progressive

WIDTHS = [8, 6, 4]


@pytest.fixture
def networks():
    torch.manual_seed(0)
    generator, critic = progressive.build(5, 3, 16, widths=WIDTHS)
    for parameter in [*generator.parameters(), *critic.parameters()]:
        parameter.data.copy_(torch.randn(parameter.shape))  # biases, too, because initial biases are 0
    return generator.double().eval(), critic.double().eval()


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_papers_network_has_the_published_number_of_parameters():
    with torch.device("meta"):
        generator, critic = progressive.build(512, 3, 128)
    assert (count(generator), len(generator.state_dict())) == (22_941_074, 36)
    assert (count(critic), len(critic.state_dict())) == (22_941_313, 38)


@pytest.mark.parametrize(("resolution", "channels"), [(8, 1), (32, 3), (64, 1)])
def test_default_widths_follow_the_resolution(resolution, channels):
    with torch.device("meta"):
        generator, critic = progressive.build(16, channels, resolution)
        image = generator(torch.randn(2, 16))
        assert image.shape == (2, channels, resolution, resolution)
        assert critic(image).shape == (2,)


@pytest.mark.parametrize(("resolution", "widths"), [(100, None), (512, None), (32, [8, 8, 8]), (4, [])])
def test_widths_that_do_not_make_the_resolution_are_refused(resolution, widths):
    with pytest.raises(InputError, match=f"resolution={resolution}"):
        progressive.build(16, 3, resolution, widths=widths)


def test_initial_layers_are_equalised():
    """Weights have variance 1, and the gain gives outputs with E[y²] = 2 for inputs with variance 1."""
    torch.manual_seed(0)
    conv = progressive.Conv(64, 64, 3)
    assert conv.weight.std().item() == pytest.approx(1, abs=0.01)
    assert not conv.bias.any()
    assert conv(torch.randn(8, 64, 16, 16))[..., 1:-1, 1:-1].var().item() == pytest.approx(2, rel=0.05)
    conv.bias.data.fill_(1)
    assert conv(torch.zeros(1, 64, 4, 4)).mean().item() == pytest.approx((2 / (64 * 9)) ** 0.5)


@pytest.mark.parametrize("length", [0.0, 1e-3, 1.0, 30.0])
def test_layers_of_the_generator_are_the_published_ones(networks, length):
    """Gain, leaky rectifier and pixel norm one after another, with gradients, and also for small features."""
    conv = networks[0].scales[0][0]
    x = (length * torch.randn(2, 8, 4, 4).double()).requires_grad_()
    y = leaky_relu(conv(x), 0.2)
    published = y / (y.square().mean(1, keepdim=True) + 1e-8).sqrt()
    layer, outward = networks[0]._layer(conv, x), torch.randn_like(published)
    torch.testing.assert_close(layer, published, rtol=1e-10, atol=1e-12)
    gradients = [torch.autograd.grad((outward * each).sum(), [x, *conv.parameters()]) for each in (layer, published)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)


def test_features_that_are_all_zero_have_a_gradient():
    x = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(progressive.normalise(x, 0.5).sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 0.5 * 1e4))


def test_the_length_of_the_latent_code_has_no_effect(networks):
    generator, _ = networks
    z = torch.randn(4, 5).double()
    torch.testing.assert_close(generator(z), generator(7 * z), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
def test_fading_in_a_scale_of_the_generator(networks, scale):
    generator, _ = networks
    z = torch.randn(3, 5).double()
    old = interpolate(generator(z, scale - 1), scale_factor=2)
    new = generator(z, scale)
    assert new.shape[2] == 4 * 2**scale
    torch.testing.assert_close(generator(z, scale, alpha=1.0), old, rtol=0, atol=1e-14)
    torch.testing.assert_close(generator(z, scale, alpha=0.25), 0.25 * old + 0.75 * new, rtol=0, atol=1e-13)
    assert torch.equal(generator(z, scale, alpha=0.0), new)
    assert torch.equal(generator(z), generator(z, len(WIDTHS) - 1))


@pytest.mark.parametrize("scale", [1, 2])
def test_fading_in_a_scale_of_the_critic(networks, scale):
    _, critic = networks
    image = torch.randn(3, 3, 4 * 2**scale, 4 * 2**scale).double()
    old = critic(avg_pool2d(image, 2), scale=scale - 1)
    torch.testing.assert_close(critic(image, scale=scale, alpha=1.0), old, rtol=0, atol=1e-12)
    assert not torch.allclose(critic(image, scale=scale), old)
    if scale == len(WIDTHS) - 1:
        assert torch.equal(critic(image, scale=scale), critic(image))


def test_images_and_scores_do_not_depend_on_the_batch(networks):
    generator, critic = networks
    z = torch.randn(5, 5).double()
    images = generator(z)
    alone = torch.cat([generator(code[None]) for code in z])
    torch.testing.assert_close(images, alone, rtol=0, atol=1e-12)
    scores = torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(critic(images), scores, rtol=0, atol=1e-11)
    assert not torch.allclose(critic(images, together=True), scores)
    torch.testing.assert_close(critic(images[:1], together=True), scores[:1], rtol=0, atol=1e-12)


def test_a_batch_that_is_no_multiple_of_four_is_one_group():
    """test_zoo compares groups of four with golden numbers."""
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    actual = progressive.minibatch_deviation(x, together=True)
    expected = np.sqrt(np.var(x.numpy(), axis=0, ddof=1) + 1e-8).mean()
    np.testing.assert_allclose(actual.numpy(), np.full((6, 1, 4, 4), expected), rtol=1e-12)
