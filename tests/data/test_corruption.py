import pytest
import torch

from rgi.data.corruption import FILLS, fill, regions


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


@pytest.mark.parametrize("kind", FILLS)
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
