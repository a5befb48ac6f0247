"""The encoder network and its storage."""

import dataclasses

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi.generators.encoder import Encoder
from rgi.generators.store import load_gan, save_gan


@pytest.mark.parametrize("resolution", [16, 32, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(resolution, channels):
    encoder = Encoder(7, channels, resolution, width=2, max_width=4)
    assert encoder(torch.zeros(3, channels, resolution, resolution)).shape == (3, 7)


def test_the_encoder_is_stored_in_the_generators_file(tmp_path):
    gan = tiny_gan()
    options = {"width": 2, "max_width": 4}
    gan.encoder = Encoder(8, 1, 32, **options).eval().half().float()
    gan.card = dataclasses.replace(gan.card, encoder=options)
    again = load_gan(save_gan(gan, tmp_path / "gan"))
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(again.encoder(images), gan.encoder(images))
    assert not any(parameter.requires_grad for parameter in again.encoder.parameters())
    assert load_gan(save_gan(tiny_gan(), tmp_path / "other")).encoder is None
