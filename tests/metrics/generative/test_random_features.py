"""Features of the random network."""

import pytest
import torch
from helpers.sample_sets import images

from rgi.errors import InputError
from rgi.metrics.generative.embedding import embed
from rgi.metrics.generative.random_features import RandomFeatures

GOLDEN = [-0.007205, 0.171191, 0.089048, 0.338159, 0.033983, 0.026565]


def test_random_features_are_the_same_everywhere(global_rng_unchanged):
    """Golden numbers: a change of the network changes them."""
    ramp = torch.linspace(-1, 1, 20 * 24).view(1, 1, 20, 24)
    features = RandomFeatures(1, seed=3)(ramp)[0]
    assert features[[0, 20, 40, 100, 300, 479]].tolist() == pytest.approx(GOLDEN, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 33, 64])
def test_images_may_have_any_size(channels, side):
    network = RandomFeatures(channels)
    clean = torch.rand(5, channels, side, side + 1) * 2 - 1
    features = network(clean)
    assert features.shape == (5, network.num_features) == (5, 480)
    assert features.std(0).min() > 0
    assert torch.allclose(embed(clean, network, batch=2), features, atol=1e-5)
    assert not list(network.buffers())
    assert not any(weight.requires_grad for weight in network.parameters())


def test_features_depend_on_the_seed():
    clean = images(2)
    first, again, other = (RandomFeatures(1, seed)(clean) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, rtol=0.1)


def test_activations_keep_their_scale_over_the_stages():
    """The mean square of a stage is within a factor of ten of the mean square of the image, 1."""
    noise = torch.randn(8, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    features = RandomFeatures(1)(noise).square()
    for stage in features.split([2 * width for width in (16, 32, 64, 128)], 1):
        assert 0.1 < 2 * stage.mean() < 10  # squared mean + variance = mean square, of each channel


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RandomFeatures(2), "channels=2"),
        (lambda: RandomFeatures(3)(torch.zeros(8, 1, 32, 32)), r"images \(8, 1, 32, 32\): pass \(N,3,H,W\)"),
        (lambda: RandomFeatures(1)(torch.zeros(8, 1, 32, 15)), "at least 16 pixels"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
