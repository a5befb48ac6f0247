"""Sliced Wasserstein distance against SciPy, NumPy and closed forms."""

import numpy as np
import pytest
import torch
from helpers.sample_sets import blurred, cloud, images, noisy
from scipy import ndimage, stats

from rgi.errors import InputError
from rgi.metrics.generative.sliced_wasserstein import expand, laplacian_pyramid, sliced_distance, sliced_wasserstein

OK = torch.zeros(8, 1, 32, 32)
NAN = torch.full((8, 1, 32, 32), torch.nan)


@pytest.mark.parametrize("side", [16, 64])
def test_the_levels_of_the_pyramid_restore_the_image(side):
    clean = images(3, side, channels=3)
    *levels, restored = laplacian_pyramid(clean)
    assert [level.shape[-1] for level in levels] == [64, 32][: len(levels)]
    assert restored.shape == (3, 3, 16, 16)
    for level in reversed(levels):
        restored = level + expand(restored)
    assert torch.allclose(restored, clean, atol=1e-6)


def filtered(image):
    """The binomial filter of the pyramid, computed by SciPy."""
    line = np.array([1, 4, 6, 4, 1]) / 16
    return ndimage.correlate(image, np.outer(line, line), mode="mirror")


def test_the_pyramid_equals_scipy():
    image = images(1)[0, 0].double().numpy()
    coarse = filtered(image)[::2, ::2]
    spread = np.zeros_like(image)
    spread[::2, ::2] = 4 * coarse
    fine, low = laplacian_pyramid(torch.from_numpy(image)[None, None])
    assert np.allclose(low[0, 0], coarse, atol=1e-12)
    assert np.allclose(fine[0, 0], image - filtered(spread), atol=1e-12)


def test_the_fine_level_of_a_constant_image_is_zero():
    detail, low = laplacian_pyramid(torch.full((1, 1, 32, 32), 0.7))
    assert torch.allclose(detail, torch.zeros(1), atol=1e-6)
    assert torch.allclose(low, torch.tensor(0.7))


def test_sliced_distance_is_the_mean_of_scipys_wasserstein_distances():
    a, b, directions = cloud(60), cloud(60, seed=1, shift=0.5), cloud(200, seed=2)
    unit = directions / directions.norm(dim=1, keepdim=True)
    expected = np.mean([stats.wasserstein_distance(a @ line, b @ line) for line in unit])
    assert sliced_distance(a, b, directions) == pytest.approx(expected, rel=1e-5)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert sliced_distance(a[order], b, directions) == pytest.approx(expected, rel=1e-5)


def test_sliced_distance_of_a_shift():
    """A shift by v moves each projection by |v·direction|."""
    a, directions, shift = cloud(50), cloud(30, seed=1), torch.tensor([3.0, 0, 0, -1, 0, 2])
    expected = (directions @ shift / directions.norm(dim=1)).abs().mean().item()
    assert sliced_distance(a, a + shift, directions) == pytest.approx(expected, rel=1e-5)


def swd_in_numpy(real, fake, descriptors, seed):
    """Distance at the finest level of images of 32 pixels, with SciPy's pyramid and independent random numbers."""
    random, sets = np.random.default_rng(seed), []
    for photos in (real.double().numpy(), fake.double().numpy()):
        patches = []
        for image in photos[:, 0]:
            spread = np.zeros_like(image)
            spread[::2, ::2] = 4 * filtered(image)[::2, ::2]
            detail = image - filtered(spread)
            patches += [detail[y : y + 7, x : x + 7].ravel() for y, x in random.integers(0, 26, (descriptors, 2))]
        patches = np.array(patches)
        sets.append((patches - patches.mean()) / patches.std())
    lines = random.normal(size=(49, 2048))
    lines /= np.linalg.norm(lines, axis=0)
    return 1000 * np.abs(np.sort(sets[0] @ lines, 0) - np.sort(sets[1] @ lines, 0)).mean()


def test_sliced_wasserstein_equals_numpy_within_sampling_error():
    real = images(64)
    fake = blurred(images(64, seed=1), 1)
    expected = np.mean([swd_in_numpy(real, fake, 16, seed) for seed in range(4)])
    distance = np.mean([sliced_wasserstein(real, fake, seed, 16, 2048)[32] for seed in range(4)])
    assert distance == pytest.approx(expected, rel=0.05)


def test_equal_sets_have_distance_zero_and_equal_seeds_give_equal_distances(global_rng_unchanged):
    real, fake = images(side=64), images(side=64, seed=1)
    assert sliced_wasserstein(real, real, 0, 8, 16) == {64: 0, 32: 0, 16: 0}
    first = sliced_wasserstein(real, fake, 5, 8, 16)
    assert sliced_wasserstein(real, fake, 5, 8, 16) == first
    assert sliced_wasserstein(real, fake, 6, 8, 16) != first
    assert sliced_wasserstein(real, torch.cat([fake, fake]), 5, 8, 16) == first
    assert sliced_wasserstein(fake, real, 5, 8, 16) == pytest.approx(first)


def test_the_distance_depends_little_on_the_order_of_the_images():
    real, fake = images(), blurred(images(seed=1), 1)
    expected = sliced_wasserstein(real, fake, 0, 64, 128)
    assert sliced_wasserstein(real, fake.flip(0), 0, 64, 128) == pytest.approx(expected, rel=0.1)


def test_the_distance_ignores_brightness_and_contrast_of_a_channel():
    real, fake = images(channels=3), images(seed=1, channels=3)
    gain, offset = torch.tensor([0.5, 0.7, 0.9])[:, None, None], torch.tensor([0.1, -0.1, 0.05])[:, None, None]
    expected = sliced_wasserstein(real, fake, 0, 8, 16)
    assert sliced_wasserstein(real, fake * gain + offset, 0, 8, 16) == pytest.approx(expected, rel=1e-3)


def test_constant_images_are_far_from_real_images():
    constant = torch.full((48, 1, 32, 32), 0.3)
    assert sliced_wasserstein(constant, constant, 0, 8, 16)[32] == 0
    assert sliced_wasserstein(images(), constant, 0, 8, 16)[32] > 500


def test_fine_noise_changes_fine_levels_only():
    real, fake = blurred(images(side=64), 1), blurred(images(side=64, seed=1), 1)
    before, after = (sliced_wasserstein(real, x, 0, 32, 128) for x in (fake, noisy(fake, 0.2)))
    assert after[64] > 1.5 * before[64]
    assert after[16] == pytest.approx(before[16], rel=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sliced_wasserstein(OK, NAN), "fake: holds NaN"),
        (lambda: sliced_wasserstein(OK[0], OK), r"real \(1, 32, 32\)"),
        (lambda: sliced_wasserstein(OK, OK[:, :, 1:]), r"real \(8, 1, 32, 32\) and fake \(8, 1, 31, 32\)"),
        (lambda: sliced_wasserstein(OK[:0], OK), r"real \(0, 1, 32, 32\)"),
        (lambda: sliced_wasserstein(OK[..., 1:], OK[..., 1:]), "32 x 31 pixels.*16, 32, 64"),
        (lambda: sliced_wasserstein(torch.ones(4, 1, 48, 48), torch.ones(4, 1, 48, 48)), "48 x 48 pixels"),
        (lambda: sliced_wasserstein(torch.ones(4, 1, 8, 8), torch.ones(4, 1, 8, 8)), "8 x 8 pixels"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
