import dataclasses

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.generators.encoder import Encoder
from rgi.generators.store import load_gan, save_gan
from rgi.inversion.start import draw_pool


@pytest.mark.parametrize("resolution", [16, 32, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(resolution, channels):
    encoder = Encoder(7, channels, resolution, width=2, max_width=4)
    assert encoder(torch.zeros(3, channels, resolution, resolution)).shape == (3, 7)


def test_an_encoder_travels_in_the_generators_file(tmp_path):
    gan = tiny_gan()
    options = {"width": 2, "max_width": 4}
    gan.encoder = Encoder(8, 1, 32, **options).eval().half().float()
    gan.card = dataclasses.replace(gan.card, encoder=options)
    again = load_gan(save_gan(gan, tmp_path / "gan"))
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(again.encoder(images), gan.encoder(images))
    assert not any(parameter.requires_grad for parameter in again.encoder.parameters())
    assert load_gan(save_gan(tiny_gan(), tmp_path / "other")).encoder is None


@pytest.mark.parametrize("changes", [{"latent_start": "encoder"}, {"latent_start": "auto", "starts": 1}])
def test_an_inversion_starts_from_the_encoders_guess(changes):
    gan = tiny_gan()
    gan.encoder = Encoder(8, 1, 32, width=2, max_width=4).eval().requires_grad_(False)
    observed = torch.randn(3, 1, 32, 32)
    found = invert(gan, observed, SolverConfig(iterations=1, lr_latent=1e-30, **changes))
    torch.testing.assert_close(found.latent, gan.encoder(observed))


@pytest.mark.parametrize("encoder_is_right", [True, False])
def test_auto_tries_the_guess_beside_members_of_the_pool(encoder_is_right):
    """Whichever of them explains the image goes on."""
    gan = tiny_gan()
    truth = draw_pool(20, 8, "normal", seed=3)[[7]]
    guess = truth if encoder_is_right else truth + 2
    gan.encoder = Encoder(8, 1, 32, width=2, max_width=4).eval().requires_grad_(False)
    gan.encoder.head.weight.data.zero_()
    gan.encoder.head.bias.data.copy_(guess[0])
    config = SolverConfig(latent_start="auto", iterations=1, lr_latent=1e-30, starts=2, pool_size=20)
    found = invert(gan, gan.generator(truth), config, seed=99 if encoder_is_right else 3)
    torch.testing.assert_close(found.latent, truth)


def test_auto_takes_the_pool_where_it_is_given_or_there_is_no_encoder():
    gan, pool = tiny_gan(), torch.randn(20, 8)
    observed = gan.generator(pool[[3, 11]])
    config = SolverConfig(latent_start="auto", iterations=1, lr_latent=1e-30)
    torch.testing.assert_close(invert(gan, observed, config, pool=pool).latent, pool[[3, 11]])
    drawn = invert(gan, observed, config.replace(latent_start="pool"), seed=3).latent
    assert invert(gan, observed, config, seed=3).latent.equal(drawn)
    gan.encoder = Encoder(8, 1, 32, width=2, max_width=4).eval().requires_grad_(False)
    torch.testing.assert_close(invert(gan, observed, config, pool=pool).latent, pool[[3, 11]])
