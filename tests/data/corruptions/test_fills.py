import pytest
import torch

from rgi.data.corruptions.fills import CONTENTS, fill, random_field
from rgi.data.corruptions.regions import regions


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("grain", [0, 1, 4, 16, 40])
def test_regions_cover_exactly_the_fraction(grain):
    fractions = torch.tensor([0.0, 0.05, 0.25, 0.6, 1.0])
    masks = regions(fractions, 32, grain, seeded())
    assert masks.shape == (5, 1, 32, 32)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(masks.mean((1, 2, 3)), (fractions * 1024).round() / 1024)
    assert masks.equal(regions(fractions, 32, grain, seeded()))
    assert not masks[1:4].equal(regions(fractions, 32, grain, seeded(1))[1:4])


def test_a_larger_grain_makes_fewer_edges():
    def edges(grain):
        masks = regions(torch.full((20,), 0.3), 64, grain, seeded())
        return (masks[..., 1:] != masks[..., :-1]).float().mean().item()

    lengths = [edges(grain) for grain in (0, 4, 16, 32)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == pytest.approx(2 * 0.3 * 0.7, abs=0.02)  # independent pixels


@pytest.mark.parametrize("kind", CONTENTS)
def test_fill_replaces_what_the_mask_covers_and_nothing_else(kind):
    images = torch.rand(3, 3, 16, 16, generator=seeded())
    masks = regions(torch.tensor([0.0, 0.3, 1.0]), 16, 4, seeded())
    filled = fill(images, masks, kind, seeded())
    inside = masks.bool().expand_as(images)
    assert filled[~inside].equal(images[~inside])
    assert (filled != images)[inside].float().mean() > 0.9
    assert filled.equal(fill(images, masks, kind, seeded()))


def test_fills_are_what_they_say():
    images, masks = torch.zeros(40, 1, 32, 32), torch.ones(40, 1, 32, 32)
    noise = fill(images, masks, "noise", seeded())
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)
    constant = fill(images, masks, "constant", seeded())
    assert constant.std((2, 3)).max() == 0
    assert constant.abs().max() <= 1
    with pytest.raises(ValueError, match="noise, constant, image"):
        fill(images, masks, "paint", seeded())


@pytest.mark.parametrize(("kind", "mean"), [("noise", 0), ("dark", -1), ("bright", 1), ("added", 0.5)])
def test_normal_fills(kind, mean):
    """Of unit variance, independent over images, channels and pixels; only ``added`` lets the image through."""
    masks = torch.ones(10, 1, 64, 64)
    content = fill(torch.zeros(10, 3, 64, 64), masks, kind, seeded())
    assert content.mean((0, 2, 3)).numpy() == pytest.approx(mean, abs=0.02)
    assert content.std((0, 2, 3)).numpy() == pytest.approx(1, abs=0.02)
    assert torch.corrcoef(content.flatten(1)).fill_diagonal_(0).abs().max() < 0.05
    lighter = fill(torch.full((10, 3, 64, 64), 0.25), masks, kind, seeded())
    torch.testing.assert_close(lighter - content, torch.full_like(content, 0.25 * (kind == "added")))


def test_fields_are_smooth():
    images, masks = torch.zeros(20, 3, 64, 64), torch.ones(20, 1, 64, 64)
    field = fill(images, masks, "field", seeded())
    torch.testing.assert_close(field.mean((2, 3)), torch.zeros(20, 3))
    torch.testing.assert_close(field.std((2, 3)), torch.full((20, 3), 0.5))
    steps = (field[..., 1:] - field[..., :-1]).square().mean()
    assert steps < 0.02 * field.var()  # 2 for independent pixels
    channels = torch.corrcoef(field.transpose(0, 1).flatten(1))
    assert channels.fill_diagonal_(0).abs().max() < 0.5  # few independent values, but another field each


def test_the_published_field_is_added_between_its_bounds_with_noise():
    images, masks = torch.rand(20, 3, 64, 64, generator=seeded(1)), torch.ones(20, 1, 64, 64)
    shift = fill(images, masks, "added_field", seeded()) - images
    pooled = torch.nn.functional.avg_pool2d(shift, 8)  # takes most of the noise off
    assert 0.5 - 0.6 < pooled.min() < 0.5
    assert 1.5 < pooled.max() < 2 + 0.6
    assert (shift - torch.nn.functional.interpolate(pooled, scale_factor=8)).std() == pytest.approx(1, abs=0.05)


def test_an_image_is_the_next_one_or_the_one_given():
    images, masks = torch.rand(3, 1, 16, 16, generator=seeded()), torch.ones(3, 1, 16, 16)
    assert fill(images, masks, "image", seeded()).equal(images.roll(1, 0).flip(-1))
    assert fill(images, masks, "image", seeded(), images + 1).equal((images + 1).flip(-1))


def test_the_published_recipe_of_spectra():
    """Power falls as frequency to the minus fifth: 32 times for an octave."""
    power = torch.fft.rfft2(random_field((200, 1, 64, 64), seeded())).abs().square().mean((0, 1))
    assert power[0, 4] / power[0, 8] == pytest.approx(32, rel=0.4)
    assert power[0, 0] < 1e-6 * power[0, 4]
