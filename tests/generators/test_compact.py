"""The compact family: shapes, and independence of the images in a batch."""

import pytest
import torch

from rgi.errors import InputError
from rgi.generators import compact


@pytest.fixture
def networks():
    """Small networks in float64."""
    torch.manual_seed(0)
    generator, critic = compact.build(6, 3, 32, width=4, max_width=8)
    return generator.double().eval(), critic.double().eval()


@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(resolution, channels):
    generator, critic = compact.build(16, channels, resolution, width=2)
    image = generator(torch.randn(2, 16))
    assert image.shape == (2, channels, resolution, resolution)
    assert critic(image).shape == critic(image, together=True).shape == (2,)


@pytest.mark.parametrize("resolution", [16, 48, 512])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(InputError, match=f"resolution={resolution}"):
        compact.build(16, 3, resolution)


def test_images_and_scores_do_not_depend_on_the_batch(networks):
    generator, critic = networks
    images = generator(torch.randn(5, 6).double())
    scores = critic(images)
    for index in range(5):
        torch.testing.assert_close(critic(images[index : index + 1])[0], scores[index], rtol=0, atol=1e-12)
    z = torch.randn(5, 6).double()
    alone = torch.cat([generator(code[None]) for code in z])
    torch.testing.assert_close(generator(z), alone, rtol=0, atol=1e-12)


def test_with_together_the_critic_compares_the_images_of_a_group(networks):
    _, critic = networks
    images = torch.randn(8, 3, 32, 32).double()
    scores = critic(images, together=True)
    assert not torch.allclose(scores, critic(images))
    changed = torch.cat([images[:7], -images[7:]])
    after = critic(changed, together=True)
    torch.testing.assert_close(after[:4], scores[:4])  # another group of four
    assert (after[4:] != scores[4:]).all()
