"""The fit of active appearance models: images that a warp and few components explain, and images that do not suit."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid

from rgi import SolverConfig, invert
from rgi.errors import InputError
from rgi.generators import pca
from rgi.generators.store import GAN
from rgi.training.alignment import fit

PLAIN = SolverConfig(mask="none", iterations=60, precision="float32", pool_size=200)


def objects(count: int, turn: float, seed: int) -> Tensor:
    """Images (count,1,32,32) of one object, turned and shifted at random, with a bright spot of random strength."""
    random = torch.Generator().manual_seed(seed)
    angle = turn * (2 * torch.rand(count, generator=random) - 1)
    shift = 0.1 * torch.randn(count, 2, generator=random)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 0], maps[:, 1, 1] = angle.cos(), -angle.sin(), angle.sin(), angle.cos()
    maps[:, :, 2] = shift
    x, y = affine_grid(maps, [count, 1, 32, 32], align_corners=False).unbind(3)
    body = torch.exp(-(((x / 0.6) ** 2 + (y / 0.25) ** 2) ** 2))
    spot = torch.exp(-(((x - 0.4) / 0.15) ** 2) - (y / 0.15) ** 2)
    strength = torch.rand(count, 1, 1, generator=random)
    return (0.8 * body - 0.4 + strength * spot)[:, None]


def gap(gan: GAN, images: Tensor) -> float:
    result = invert(gan, images, PLAIN)
    return (result.observed - result.restored).square().mean().sqrt().item()


@pytest.mark.parametrize(("turn", "rotation"), [(0.2, False), (3.14, True)])
def test_turned_objects_are_explained_better_than_by_principal_components(turn, rotation):
    """With as many codes, on held-out images; and a second fit gives the same generator."""
    clean, held_out = objects(80, turn, seed=0), objects(16, turn, seed=1)
    gan = fit(clean, 14, shapes=6, rotation=rotation, seed=2)
    assert gan.card.latent_dim == gan.generator.latent_dim == 14
    assert gap(gan, held_out) < 0.6 * gap(pca.fit(clean, 14), held_out)
    again = fit(clean, 14, shapes=6, rotation=rotation, seed=2)
    for one, other in zip(gan.generator.parameters(), again.generator.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.02)  # Adam enlarges the rounding of parallel sums


def test_random_codes_give_images_like_the_training_images():
    """In their mean and their deviation at each pixel."""
    clean = objects(80, 0.2, seed=0)
    codes = torch.randn(1000, 14, generator=torch.Generator().manual_seed(3))
    samples = fit(clean, 14, shapes=6).generator(codes)
    for statistic in (torch.mean, torch.std):
        expected = statistic(clean, 0)
        assert (statistic(samples, 0) - expected).square().mean().sqrt() < 0.35 * clean.std(0).mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": -1}, "generator.fit.copies=-1: must be"),
        ({"flip": "up"}, "generator.fit.flip=up: must be .*horizontal"),
        ({"copies": 3}, "^generator.latent_dim=12: 9 images and 3 copies have at most 11 "),
    ],
)
def test_wrong_options_of_the_copies_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        fit(torch.randn(9, 1, 16, 16), 12, shapes=0, **options)


def test_copies_let_few_images_have_many_components():
    gan = fit(objects(6, 0.2, seed=0), 20, shapes=0, copies=60)
    assert gap(gan, objects(8, 0.2, seed=1)) < 0.7 * gap(
        fit(objects(6, 0.2, seed=0), 5, shapes=0), objects(8, 0.2, seed=1)
    )


def test_components_with_coarse_colours_explain_photographs_as_well():
    """Photographs whose colour differences are smooth: the gap stays, and the file is smaller."""
    clean, held_out = (
        torch.cat(
            [
                objects(count, 0.2, seed) + 0.3 * objects(count, 0.0, seed + 5).mean((2, 3), keepdim=True) * tint
                for tint in (1, -1, 0)
            ],
            1,
        )
        for count, seed in ((60, 0), (16, 1))
    )
    fine, coarse = (fit(clean, 20, shapes=0, chroma_subsampling=factor) for factor in (1, 4))
    assert gap(coarse, held_out) < 1.02 * gap(fine, held_out)
    sizes = [sum(each.numel() for each in gan.generator.parameters()) for gan in (coarse, fine)]
    assert sizes[0] < 0.5 * sizes[1]


def test_mirror_images_let_images_have_more_components():
    """A generator of all mirror images explains mirrored images as well as the others."""
    clean = objects(12, 0.2, seed=0)
    gan = fit(clean, 20, shapes=0, flip="horizontal")
    assert gap(gan, clean.flip(3)) == pytest.approx(gap(gan, clean), rel=0.1)
    with pytest.raises(InputError, match="12 images and 12 copies have at most 23 principal components"):
        fit(clean, 24, shapes=0, flip="horizontal")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.randn(9, 1, 16, 16),
            "^generator.latent_dim=12: 2 codes are for the warp, and 9 images have at most 8 ",
        ),
        (torch.zeros(40, 1, 16, 12), r"images \(40, 1, 16, 12\): must be"),
        (torch.full((40, 1, 16, 16), torch.nan), "must be .* finite"),
        (torch.ones(40, 1, 16, 16), "images: all 40 are the same"),
    ],
)
def test_images_that_do_not_suit_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        fit(images, 12, shapes=2)
