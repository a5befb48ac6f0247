"""The active appearance model: what each part of the code does to the image."""

import pytest
import torch
from helpers.tiny_gan import tiny_gan
from torch.nn.functional import interpolate

from rgi.errors import InputError
from rgi.generators.appearance import (
    CONTROL,
    OPPONENT,
    Generator,
    aligned,
    bilinear,
    build,
    from_opponent,
    subsampled,
)


def smooth_images(count: int, side: int = 32) -> torch.Tensor:
    """Random images without fine detail."""
    coarse = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    return interpolate(coarse, (side, side), mode="bicubic", align_corners=True) / 3


def model(mean: torch.Tensor, rotation: bool) -> Generator:
    """One component and two shapes: a shift to the right by two pixels, and a wave."""
    generator = Generator(1, len(mean), mean.shape[1], 2, rotation)
    shift = torch.zeros(2, CONTROL, CONTROL)
    shift[0] = -2 * 2 / mean.shape[1]
    wave = 0.05 * torch.sin(torch.arange(2 * CONTROL * CONTROL).view(2, CONTROL, CONTROL) * 1.0)
    generator.load_state_dict({"mean": mean, "basis": mean[None] / 2, "shapes": torch.stack([shift, wave])})
    return generator.requires_grad_(False)


def test_without_a_warp_the_image_is_linear():
    mean = smooth_images(1)[0]
    torch.testing.assert_close(model(mean, False)(torch.tensor([[0.0, 0.0, 3.0]]))[0], mean * 2.5)


@pytest.mark.parametrize("quarters", range(4))
def test_two_codes_turn_the_image_by_their_angle(quarters):
    mean = smooth_images(1)[0]
    angle = torch.tensor(quarters * torch.pi / 2)
    codes = 0.7 * torch.stack([angle.cos(), angle.sin()])  # the length of the two codes has no effect
    image = model(mean, True)(torch.cat([codes, torch.zeros(3)])[None])[0]
    torch.testing.assert_close(image, mean.rot90(quarters, (1, 2)), rtol=0, atol=1e-5)


def test_a_shape_moves_pixels():
    mean = smooth_images(1)[0]
    image = model(mean, False)(torch.tensor([[1.0, 0.0, 0.0]]))[0]
    torch.testing.assert_close(image[:, :, 2:], mean[:, :, :-2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rotation", [False, True])
def test_alignment_undoes_the_warp(rotation):
    """Up to the blur of two interpolations, away from the border."""
    mean = smooth_images(1, 64)[0]
    generator = model(mean, rotation)
    warp = torch.tensor([[0.8, 1.5], [-1.0, -0.5]])
    if rotation:
        warp = torch.cat([torch.tensor([[1.0, 0.4], [-0.3, 0.8]]), warp], 1)
    images = generator(torch.cat([warp, torch.zeros(2, 1)], 1))
    inside = (..., slice(20, 44), slice(20, 44))
    error = (aligned(generator, images, warp) - mean)[inside].square().mean().sqrt()
    assert error < 0.03 * (images - mean)[inside].square().mean().sqrt()


def rgb(brightness: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    return from_opponent(brightness, chroma, OPPONENT, bilinear(chroma.shape[-1], brightness.shape[-1]))


def test_the_axes_of_colour_are_orthonormal():
    torch.testing.assert_close(OPPONENT @ OPPONENT.T, torch.eye(3))


def test_subsampling_keeps_the_brightness_and_the_mean_colours():
    """Of an RGB image; and all of an image whose colour differences are constant."""
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    brightness, chroma = subsampled(images, 4)
    assert chroma.shape == (2, 2, 4, 4)
    rebuilt = rgb(brightness, chroma)
    torch.testing.assert_close(rebuilt.mean(1), images.mean(1))
    torch.testing.assert_close(rebuilt.mean((2, 3)), images.mean((2, 3)), rtol=0, atol=0.05)
    tinted = images.mean(1, keepdim=True) + torch.tensor([0.3, -0.1, 0.2])[:, None, None]
    torch.testing.assert_close(rgb(*subsampled(tinted, 4)), tinted)


def test_colours_are_interpolated_bilinearly():
    brightness, chroma = torch.randn(2, 1, 15, 15), torch.randn(2, 2, 4, 4)
    fine = torch.cat([brightness, interpolate(chroma, (15, 15), mode="bilinear")], 1)
    torch.testing.assert_close(rgb(brightness, chroma), torch.einsum("oc,bohw->bchw", OPPONENT, fine))


def test_images_without_colour_and_a_factor_of_1_change_nothing():
    for images, factor in ((torch.randn(2, 1, 16, 16), 4), (torch.randn(2, 3, 16, 16), 1)):
        stored, chroma = subsampled(images, factor)
        assert stored is images
        assert chroma is None


@pytest.mark.parametrize("factor", [1, 3, 4, 32])
def test_least_squares_finds_the_codes_of_an_image(factor):
    """Also if 32 pixels are no multiple of the factor."""
    torch.manual_seed(0)
    generator = Generator(6, 3, 32, 0, False, factor).requires_grad_(False)
    codes = torch.randn(5, 6)
    torch.testing.assert_close(generator.guess(generator(codes)), codes, rtol=1e-3, atol=1e-3)


def test_gradients_are_finite_for_all_codes():
    generator = tiny_gan("appearance", channels=3).generator
    codes = torch.cat([torch.zeros(1, 8), torch.randn(3, 8)]).requires_grad_()
    (gradient,) = torch.autograd.grad(generator(codes).square().sum(), codes)
    assert gradient.isfinite().all()
    assert (gradient[1:, :5] != 0).all()


def test_images_have_the_type_of_the_codes():
    generator = tiny_gan("appearance").generator.bfloat16()
    assert generator(torch.randn(2, 8).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": 16, "rotation": True}, "latent_dim=18: must be above 18, the codes of the warp"),
        ({"shapes": 51}, "shapes=51: must be a whole number from 0 to 50"),
        ({"shapes": 1.5}, "shapes=1.5: must be a whole number"),
        ({"rotation": 1}, "rotation=1: must be true or false"),
        ({"chroma_subsampling": 0}, "chroma_subsampling=0: must be a whole number from 1 to 32"),
        ({"chroma_subsampling": 2.0}, "chroma_subsampling=2.0: must be a whole number"),
        ({"chroma_subsampling": 64}, "chroma_subsampling=64: must be a whole number from 1 to 32"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=f"^generator.(options.)?{message}"):
        build(18, 1, 32, **options)
