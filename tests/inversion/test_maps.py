"""Anomaly maps normalised by residuals of clean images: closed forms and the detection of faint defects."""

import math

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion.maps import DEVIATION_FLOOR, CleanStatistics, Surprisal
from rgi.metrics.curves import auroc_per_image
from rgi.pixels import luminance, smooth

SIZE = 16


def test_z_scores_are_in_units_of_the_clean_standard_deviation():
    """Constant residual maps have a known mean and standard deviation, equal at all positions."""
    levels = torch.tensor([1.0, 2.0, 3.0])
    clean = CleanStatistics(torch.zeros(3, 1, SIZE, SIZE), levels.view(3, 1, 1).expand(3, SIZE, SIZE))
    residuals = torch.rand(2, SIZE, SIZE)
    for sigma in (0, 2):
        expected = (smooth(residuals, sigma) - 2) / (1 + DEVIATION_FLOOR)
        torch.testing.assert_close(clean.z_scores(residuals, sigma), expected, rtol=1e-4, atol=1e-4)
    scores = clean.normalised(residuals, 0)
    torch.testing.assert_close(scores, clean.z_scores(residuals, 0).exp().log1p())
    assert (scores.flatten().argsort() == residuals.flatten().argsort()).all()


def test_a_position_with_large_clean_residuals_is_not_anomalous():
    """One half of all images has large residuals. A faint defect lies in the other half."""
    torch.manual_seed(0)
    scale = torch.full((SIZE, SIZE), 0.1)
    scale[:, : SIZE // 2] = 1
    clean = CleanStatistics(torch.zeros(40, 1, SIZE, SIZE), (torch.randn(40, SIZE, SIZE) * scale).abs())
    truth = torch.zeros(5, 1, SIZE, SIZE)
    truth[..., 5:8, 11:14] = 1
    residuals = (torch.randn(5, SIZE, SIZE) * scale + 0.5 * truth[:, 0]).abs()
    scores = clean.normalised(residuals, 0)
    assert auroc_per_image(scores, truth).min() > 0.98
    assert auroc_per_image(residuals, truth).max() < 0.8


def test_the_surprisal_is_the_logarithm_of_the_share_of_clean_pixels():
    """That of an exponential distribution is its score, below the tail and in it."""
    torch.manual_seed(0)
    clean = torch.distributions.Exponential(2.0).sample((400_000,))
    scores = torch.tensor([-1.0, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 50.0])
    torch.testing.assert_close(Surprisal(clean)(scores), 2 * scores.clamp(min=0), rtol=0.03, atol=0.01)


@pytest.mark.parametrize("clean", [torch.linspace(-3, 7, 5000).square(), torch.arange(3000).fmod(11) / 10])
def test_the_surprisal_follows_the_scores(clean):
    """It grows with the score, and agrees with the share of scores that are at least as high."""
    scores = torch.linspace(clean.min() - 1, clean.max() + 5, 999)
    found = Surprisal(clean)(scores)
    assert (found.diff() >= 0).all()
    assert (found[scores > clean.max()].diff() > 0).all()
    for q in (0.2, 0.5, 0.95):
        value = clean.quantile(q)
        low, high = (-math.log((kind(clean, value)).double().mean() + 1e-9) for kind in (torch.ge, torch.gt))
        assert low - 0.06 <= Surprisal(clean)(value[None]).item() <= high + 0.06


@pytest.mark.parametrize("level", [0.0, -2.0])
def test_scores_that_are_all_alike_have_a_surprisal(level):
    found = Surprisal(torch.full((100,), level))(torch.tensor([level - 1, level, level + 1]))
    assert found[0] == 0
    assert found[1] <= found[2]
    assert not found.isnan().any()


@pytest.mark.parametrize("sigma", [0, 1])
def test_a_combined_map_is_a_weighted_mean_of_surprisals(sigma):
    torch.manual_seed(0)
    observed, residuals, weights = torch.randn(6, 3, SIZE, SIZE), torch.rand(6, SIZE, SIZE), [1.0, 3.0, 0.5]
    maps = [lambda images: 100 + 7 * luminance(images), lambda images: images[:, 1].square()]
    clean = CleanStatistics(observed[:4], residuals[:4], maps, weights)
    parts = [smooth(each, sigma) for each in (residuals, *(of(observed) for of in maps))]
    first, second, third = (Surprisal(each[:4].flatten())(each) for each in parts)
    expected = (1.0 * (first - math.log(10)).clamp(min=0) + 3.0 * second + 0.5 * third) / 4.5
    torch.testing.assert_close(clean.combined(observed, residuals, sigma), expected)
    other = clean.reweighted([0.0, 1.0, 0.0])
    torch.testing.assert_close(other.combined(observed, residuals, sigma), second)
    assert clean.weights == weights


def test_a_residual_counts_only_where_few_clean_pixels_have_such_a_one():
    observed, residuals = torch.rand(4, 1, SIZE, SIZE), torch.rand(4, SIZE, SIZE)
    clean = CleanStatistics(observed, residuals, [luminance])
    usual, large = (clean.combined(observed, torch.full_like(residuals, level), 0) for level in (0.85, 0.98))
    assert usual.equal(clean.combined(observed, torch.zeros_like(residuals), 0))
    assert (large > usual).all()


def test_the_units_of_both_maps_do_not_matter():
    torch.manual_seed(0)
    observed, residuals = torch.rand(6, 1, SIZE, SIZE), torch.rand(6, SIZE, SIZE)
    maps = []
    for unit in (1, 1000):
        clean = CleanStatistics(
            observed[:4], unit * residuals[:4], [lambda images, unit=unit: luminance(images) / unit]
        )
        maps.append(clean.combined(observed, unit * residuals, 1))
    torch.testing.assert_close(*maps)


@pytest.mark.parametrize("kind", ["normalised", "combined"])
def test_the_map_of_an_image_does_not_depend_on_the_batch(kind):
    gan = tiny_gan()
    torch.manual_seed(0)
    images = gan.generator(torch.randn(6, gan.card.latent_dim)) + 0.1 * torch.randn(6, 1, 32, 32)
    config = SolverConfig(iterations=5, pool_size=8)
    reference = invert(gan, images[:4], config)
    clean = CleanStatistics(reference.observed, reference.anomaly_map("residual"), [luminance])
    together = invert(gan, images[4:], config).anomaly_map(kind, 1.0, clean)
    alone = invert(gan, images[5:], config).anomaly_map(kind, 1.0, clean)
    torch.testing.assert_close(together[1:], alone, rtol=1e-3, atol=1e-3)
    assert together.shape == (2, 32, 32)
    assert (together >= 0).all()
    assert math.isfinite(together.sum())


def test_the_message_names_missing_or_wrong_statistics():
    images, residuals = torch.zeros(2, 1, SIZE, SIZE), torch.zeros(2, SIZE, SIZE)
    result = invert(tiny_gan(), torch.zeros(1, 1, 32, 32), SolverConfig(iterations=1, pool_size=4))
    for kind in ("normalised", "combined"):
        with pytest.raises(ValueError, match=f"kind='{kind}' needs clean="):
            result.anomaly_map(kind)
    with pytest.raises(ValueError, match="with feature_maps"):
        CleanStatistics(images, residuals).combined(images, residuals, 0)
    with pytest.raises(ValueError, match="residuals"):
        CleanStatistics(images, residuals[:1])
    with pytest.raises(ValueError, match="residuals"):
        CleanStatistics(images[:1], residuals[:1])
    with pytest.raises(ValueError, match=r"weights \[1.0\]: must be those of the residual and 1 maps"):
        CleanStatistics(images, residuals, [luminance], [1.0])
