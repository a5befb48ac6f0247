"""The residuals of clean images, and λ from them: a number, or a map where that makes better masks."""

import dataclasses
import math

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.evaluation.clean_residuals import PRIORS, clean_residuals, inverted_images
from rgi.generators import build
from rgi.generators.store import GAN
from rgi.inversion.automatic import at_positions, latent_weight, penalty, penalty_factors


def test_automatic_penalty_comes_from_clean_residuals():
    gan = tiny_gan()
    torch.manual_seed(0)
    clean = gan.generator(torch.randn(4, gan.card.latent_dim)) + 0.05 * torch.randn(4, 1, 32, 32)
    with pytest.raises(ValueError, match="task=calibrate"):
        invert(gan, clean, SolverConfig(mask_penalty="auto"))
    residuals, scale, prior = clean_residuals(gan, clean, SolverConfig(iterations=60))
    assert (scale, prior) == ([], 1.0)  # too few images for a trial
    levels = [residuals[key] for key in sorted(residuals, key=float)]
    assert levels == sorted(levels)
    gan.card = dataclasses.replace(gan.card, residuals=residuals)
    for level in (0.9, 0.5):
        by_hand = SolverConfig(mask_penalty=2 * residuals[str(level)] ** 2, iterations=5)
        automatic = invert(gan, clean, by_hand.replace(mask_penalty="auto", clean_quantile=level))
        assert automatic.objective.equal(invert(gan, clean, by_hand).objective)
    with pytest.raises(ValueError, match=r"solver.clean_quantile=0.7: .* holds 0.5, 0.9"):
        invert(gan, clean, SolverConfig(mask_penalty="auto", clean_quantile=0.7))


@pytest.mark.parametrize("word", ["auto", "defects"])
@pytest.mark.parametrize(
    ("data_term", "weight"), [("l2", 10 * (0.2 / 1.6448536) ** 2), ("l1", 10 * 0.2 / math.log(10) / 2)]
)
def test_automatic_weight_of_the_prior_comes_from_clean_residuals(data_term, weight, word):
    """Ten times σ² of normal residuals, and ten times b/2 of Laplacian ones, with the card's 0.9 quantile.

    For defects, this is multiplied with the card's factor.
    """
    gan = tiny_gan()
    automatic = SolverConfig(data_term=data_term, mask="none", latent_weight=word, iterations=3)
    with pytest.raises(ValueError, match=rf"solver.latent_weight={word}: .*task=calibrate"):
        latent_weight(automatic, gan)
    gan.card = dataclasses.replace(gan.card, residuals={"0.99": 0.3})
    with pytest.raises(ValueError, match=rf"solver.latent_weight={word}: .* no residual at 0.9"):
        latent_weight(automatic, gan)
    gan.card = dataclasses.replace(gan.card, residuals={"0.9": 0.2}, defect_prior=16)
    assert latent_weight(automatic, gan) == pytest.approx(weight * (16 if word == "defects" else 1))
    images = torch.randn(2, 1, 32, 32) / 3
    by_hand = automatic.replace(latent_weight=latent_weight(automatic, gan))
    assert invert(gan, images, automatic).objective.equal(invert(gan, images, by_hand).objective)


AUTO = SolverConfig(mask_penalty="auto", iterations=3, starts=1, pool_size=8, latent_start="pool")
LINEAR = SolverConfig(iterations=20, starts=1, latent_start="auto", precision="float32")


def noisy_images(left: float, right: float, count: int = 24) -> tuple[GAN, torch.Tensor]:
    """A linear GAN, and images of it with noise of other deviations in the left and the right half."""
    gan = tiny_gan("pca")
    torch.manual_seed(1)
    clean = gan.generator(torch.randn(count, gan.card.latent_dim) / 3)
    return gan, clean + noise(left, right) * torch.randn(count, 1, 16, 16)


def noise(left: float, right: float) -> torch.Tensor:
    """Deviations of the columns."""
    return torch.tensor([left] * 8 + [right] * 8)


def test_the_scale_is_that_of_the_noise_where_noise_depends_on_the_position():
    """Least squares leave r = (1 - P) n of the noise n, where P projects on the images of the generator."""
    gan, images = noisy_images(0.05, 0.3, 256)
    residuals, scale, _ = clean_residuals(gan, images, LINEAR)
    directions = gan.generator(torch.eye(6)) - gan.generator(torch.zeros(1, 6))
    basis = torch.linalg.qr(directions.flatten(1).T).Q
    left = torch.eye(256) - basis @ basis.T
    variance = (left.square() * noise(0.05, 0.3).square().expand(16, 16).flatten()).sum(1)
    expected = variance.view(16, 16).sqrt()
    torch.testing.assert_close(torch.tensor(scale), expected / expected.mean(), rtol=0.2, atol=0)
    assert residuals["0.95"] == pytest.approx(1.96 * expected.mean().item(), rel=0.05)


def test_noise_that_is_the_same_everywhere_gets_no_scale():
    residuals, scale, _ = clean_residuals(*noisy_images(0.1, 0.1), LINEAR)
    assert scale == []
    assert residuals["0.95"] == pytest.approx(1.96 * 0.1, rel=0.1)


def test_a_position_without_residual_keeps_a_part_of_the_scale():
    """Else every deviation of an object's black background would be masked, also the rounding of its pixels."""
    gan, images = noisy_images(0.0, 0.3)
    gan.generator.basis.view(6, 16, 16)[..., :8] = 0
    images[..., :8] = gan.generator(torch.zeros(1, 6))[..., :8]
    _, scale, _ = clean_residuals(gan, images, LINEAR)
    assert {row[0] for row in scale} == {0.1}


def test_positions_that_do_not_count_have_no_part_in_the_scale():
    region = torch.zeros(1, 16, 16)
    region[..., :12] = 1
    gan, images = noisy_images(0.03, 0.3)
    _, scale, _ = clean_residuals(gan, images, LINEAR, counted=region)
    rows = torch.tensor(scale)
    assert (rows[:, 12:] == 1).all()
    assert rows[:, :12].mean() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("data_term", "power"), [("l2", 2), ("l1", 1)])
def test_masking_begins_at_the_quantile_times_the_scale(data_term, power):
    """λ = 2 t² for l2 and t for l1, with t = quantile times scale at each position."""
    gan, scale = tiny_gan(), [[0.5, 1.0], [1.5, 1.0]]
    config = AUTO.replace(data_term=data_term)
    gan.card = dataclasses.replace(gan.card, residuals={"0.9": 0.2}, residual_scale=scale)
    factors = penalty_factors(config, gan)
    torch.testing.assert_close(factors, at_positions(scale, 32) ** power)
    for position, value in (((0, 0), 0.5), ((0, -1), 1.0), ((-1, 0), 1.5)):  # the corners of the grid
        assert factors[0, 0][position] == pytest.approx(value**power)
    result = invert(gan, torch.randn(2, 1, 32, 32) / 3, config.replace(precision="float64"))
    residual = (result.observed - result.restored).abs()
    assert ((result.mask > 0) == (residual > 0.2 * at_positions(scale, 32))).all()
    rest = residual.square() if data_term == "l2" else residual
    rest = torch.where(result.mask > 0, 0, rest)
    if data_term == "l2":  # M = 1 - λ / (2 r²) leaves (1 - M)² r²
        rest = ((1 - result.mask) * residual).square()
    objective = (rest + penalty(config, gan) * factors * result.mask).sum((1, 2, 3))
    torch.testing.assert_close(result.objective, objective)


@pytest.mark.parametrize("mask", ["profiled", "adam"])
@pytest.mark.parametrize("mask_shape", ["channel", "pixel"])
def test_a_scale_of_one_everywhere_changes_nothing(mask, mask_shape):
    gan, images = tiny_gan(channels=3), torch.randn(2, 3, 32, 32) / 3
    gan.card = dataclasses.replace(gan.card, residuals={"0.9": 0.2})
    config = AUTO.replace(mask=mask, mask_shape=mask_shape, precision="float64")
    number = invert(gan, images, config)
    gan.card = dataclasses.replace(gan.card, residual_scale=[[1.0, 1.0], [1.0, 1.0]])
    position = invert(gan, images, config)
    torch.testing.assert_close(position.objective, number.objective)
    torch.testing.assert_close(position.mask, number.mask)


def test_a_number_for_the_penalty_is_a_number_at_all_positions():
    gan = tiny_gan()
    gan.card = dataclasses.replace(gan.card, residuals={"0.9": 0.2}, residual_scale=[[0.5, 1.5]])
    assert penalty_factors(AUTO.replace(mask_penalty=0.1), gan) is None
    images = torch.randn(2, 1, 32, 32) / 3
    plain = invert(tiny_gan(), images, AUTO.replace(mask_penalty=0.1))
    assert invert(gan, images, AUTO.replace(mask_penalty=0.1)).mask.equal(plain.mask)


def orthonormal_gan(codes: int) -> GAN:
    """A linear GAN whose components are orthogonal directions."""
    gan = tiny_gan("pca")
    torch.manual_seed(2)
    gan.generator, _ = build("pca", latent_dim=codes, channels=1, resolution=16)
    gan.generator.basis.data = (torch.linalg.qr(torch.randn(256, codes)).Q.T * 0.4).view_as(gan.generator.basis)
    gan.generator.mean.data.zero_()
    gan.generator.requires_grad_(False)
    gan.card = dataclasses.replace(gan.card, latent_dim=codes)
    return gan


@pytest.mark.parametrize(("codes", "deviation", "stronger"), [(200, 1, True), (8, 12, False)])
def test_a_generator_that_can_draw_defects_gets_a_stronger_prior(codes, deviation, stronger):
    """200 codes of 256 pixels can draw anything. Eight cannot, and a prior would only forbid their clean images."""
    gan = orthonormal_gan(codes)
    clean = gan.generator(deviation * torch.randn(24, codes)) + 0.1 * torch.randn(24, 1, 16, 16)
    steps: list[int] = []
    measured = clean_residuals(gan, clean, LINEAR.replace(tolerance=None), steps.append)
    assert (measured.defect_prior > 1) == stronger
    trials = min(PRIORS.index(measured.defect_prior) + 2, len(PRIORS))  # the last one gained nothing
    assert (1 + trials) * 24 <= sum(steps) / LINEAR.iterations <= inverted_images(24)


def test_a_region_without_painted_pixels_gets_no_stronger_prior():
    """Defects leave the border of an image free, so there the AUROC of every trial is NaN."""
    gan = orthonormal_gan(200)
    border = torch.zeros(1, 16, 16)
    border[:, 0] = 1
    clean = gan.generator(torch.randn(24, 200)) + 0.1 * torch.randn(24, 1, 16, 16)
    assert clean_residuals(gan, clean, LINEAR, counted=border).defect_prior == 1
