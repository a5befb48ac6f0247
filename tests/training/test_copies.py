"""Moved copies of images."""

import pytest
import torch
from torch.nn.functional import interpolate

from rgi.training.copies import with_copies


def images(count: int = 5) -> torch.Tensor:
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    return interpolate(coarse, (32, 32), mode="bicubic", align_corners=True).clamp(0, 1) * 2 - 1


def test_the_images_come_first_and_the_seed_decides_the_copies():
    clean = images()
    first, again, other = (with_copies(clean, 300, "both", seed) for seed in (1, 1, 2))
    assert first.shape == (305, 3, 32, 32)
    assert first[:5].equal(clean)
    assert first.equal(again)
    assert not first[5:].equal(other[5:])
    assert first.min() >= clean.min() - 1e-6
    assert first.max() <= clean.max() + 1e-6  # the border is continued by reflection, without a new value


@pytest.mark.parametrize(("flip", "axes"), [("none", []), ("horizontal", [[3]]), ("both", [[3], [2], [2, 3]])])
def test_without_copies_all_mirror_images_are_added(flip, axes):
    clean = images()
    assert with_copies(clean, 0, flip, 0).equal(torch.cat([clean, *(clean.flip(each) for each in axes)]))


@pytest.mark.parametrize(("flip", "left", "upper"), [("none", 0, 0), ("horizontal", 0.5, 0), ("both", 0.5, 0.5)])
def test_copies_are_moved_a_little_and_half_of_them_are_mirrored(flip, left, upper):
    """The centre of a bright spot stays near its place, or near the mirrored one."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    spot = torch.exp(-(((x - 0.5) / 0.2) ** 2) - ((y - 0.5) / 0.2) ** 2)[None, None]
    copies = with_copies(spot, 400, flip, seed=0)[1:, 0]
    total = copies.sum((1, 2))
    across, down = (copies * x).sum((1, 2)) / total, (copies * y).sum((1, 2)) / total
    for place, share in ((across, left), (down, upper)):
        assert ((place.abs() - 0.5).abs() < 0.22).all()
        assert place.std() > 0.04
        assert (place < 0).float().mean().item() == pytest.approx(share, abs=0.08 if share else 0)
