"""Judging a generator: against slow independent computations, closed forms, and what must not change a result."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torch import nn
from torch.nn.functional import interpolate

from rgi.errors import InputError
from rgi.metrics.generative.embedding import embed
from rgi.metrics.generative.frechet import frechet_and_kernel
from rgi.metrics.generative.kernel_distance import kernel_distance
from rgi.metrics.generative.memorisation import memorisation, nearest_training
from rgi.metrics.generative.precision_recall import precision_recall
from rgi.metrics.generative.quality import sample_quality
from rgi.metrics.generative.random_features import RandomFeatures
from rgi.metrics.generative.sliced_wasserstein import expand, laplacian_pyramid, sliced_distance, sliced_wasserstein

GOLDEN = [-0.007205, 0.171191, 0.089048, 0.338159, 0.033983, 0.026565]


def images(count=48, side=32, seed=0, channels=1):
    """Smooth fields with a little texture."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, channels, side // 8, side // 8, generator=random)
    fine = torch.randn(count, channels, side, side, generator=random)
    return (0.5 * interpolate(coarse, size=side, mode="bicubic") + 0.1 * fine).clamp(-1, 1)


def cloud(count, dimensions=6, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    return torch.from_numpy(
        random.normal(shift, 1, (count, dimensions)) @ random.normal(size=(dimensions,) * 2)
    ).float()


def noisy(clean, strength):
    return clean + strength * torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))


def blurred(clean, strength):
    return torch.from_numpy(ndimage.gaussian_filter(clean.numpy(), (0, 0, strength, strength), mode="mirror"))


def increases(values):
    return all(low < high for low, high in pairwise(values))


@pytest.fixture
def untouched():
    """Global random numbers after the test are those before it."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("side", [16, 64])
def test_pyramid_leads_back_to_the_image(side):
    clean = images(3, side, channels=3)
    *levels, restored = laplacian_pyramid(clean)
    assert [level.shape[-1] for level in levels] == [64, 32][: len(levels)]
    assert restored.shape == (3, 3, 16, 16)
    for level in reversed(levels):
        restored = level + expand(restored)
    assert torch.allclose(restored, clean, atol=1e-6)


def filtered(image):
    """The same filter by scipy."""
    line = np.array([1, 4, 6, 4, 1]) / 16
    return ndimage.correlate(image, np.outer(line, line), mode="mirror")


def test_pyramid_equals_scipy():
    image = images(1)[0, 0].double().numpy()
    coarse = filtered(image)[::2, ::2]
    spread = np.zeros_like(image)
    spread[::2, ::2] = 4 * coarse
    fine, low = laplacian_pyramid(torch.from_numpy(image)[None, None])
    assert np.allclose(low[0, 0], coarse, atol=1e-12)
    assert np.allclose(fine[0, 0], image - filtered(spread), atol=1e-12)


def test_a_constant_image_has_no_detail():
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
    """Moved by v, every projection moves by |v·direction|."""
    a, directions, shift = cloud(50), cloud(30, seed=1), torch.tensor([3.0, 0, 0, -1, 0, 2])
    expected = (directions @ shift / directions.norm(dim=1)).abs().mean().item()
    assert sliced_distance(a, a + shift, directions) == pytest.approx(expected, rel=1e-5)


def swd_in_numpy(real, fake, descriptors, seed):
    """The finest level of images of 32 pixels, with scipy's pyramid and random numbers of its own."""
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
    found = np.mean([sliced_wasserstein(real, fake, seed, 16, 2048)[32] for seed in range(4)])
    assert found == pytest.approx(expected, rel=0.05)


def test_sliced_wasserstein_of_equal_sets_is_zero_and_its_seed_decides(untouched):
    real, fake = images(side=64), images(side=64, seed=1)
    assert sliced_wasserstein(real, real, 0, 8, 16) == {64: 0, 32: 0, 16: 0}
    first = sliced_wasserstein(real, fake, 5, 8, 16)
    assert sliced_wasserstein(real, fake, 5, 8, 16) == first
    assert sliced_wasserstein(real, fake, 6, 8, 16) != first
    assert sliced_wasserstein(real, torch.cat([fake, fake]), 5, 8, 16) == first
    assert sliced_wasserstein(fake, real, 5, 8, 16) == pytest.approx(first)


def test_sliced_wasserstein_hardly_depends_on_the_order_of_the_images():
    real, fake = images(), blurred(images(seed=1), 1)
    there = sliced_wasserstein(real, fake, 0, 64, 128)
    assert sliced_wasserstein(real, fake.flip(0), 0, 64, 128) == pytest.approx(there, rel=0.1)


def test_sliced_wasserstein_does_not_see_brightness_and_contrast_of_a_channel():
    real, fake = images(channels=3), images(seed=1, channels=3)
    gain, offset = torch.tensor([0.5, 0.7, 0.9])[:, None, None], torch.tensor([0.1, -0.1, 0.05])[:, None, None]
    expected = sliced_wasserstein(real, fake, 0, 8, 16)
    assert sliced_wasserstein(real, fake * gain + offset, 0, 8, 16) == pytest.approx(expected, rel=1e-3)


def test_a_generator_of_constant_images_is_far_from_real_ones():
    constant = torch.full((48, 1, 32, 32), 0.3)
    assert sliced_wasserstein(constant, constant, 0, 8, 16)[32] == 0
    assert sliced_wasserstein(images(), constant, 0, 8, 16)[32] > 500


def test_fine_noise_shows_at_fine_levels_only():
    real, fake = blurred(images(side=64), 1), blurred(images(side=64, seed=1), 1)
    before, after = (sliced_wasserstein(real, x, 0, 32, 128) for x in (fake, noisy(fake, 0.2)))
    assert after[64] > 1.5 * before[64]
    assert after[16] == pytest.approx(before[16], rel=0.1)


def test_random_features_are_the_same_everywhere(untouched):
    """Numbers computed once; they change only if the network does."""
    ramp = torch.linspace(-1, 1, 20 * 24).view(1, 1, 20, 24)
    found = RandomFeatures(1, seed=3)(ramp)[0]
    assert found[[0, 20, 40, 100, 300, 479]].tolist() == pytest.approx(GOLDEN, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 33, 64])
def test_random_features_of_any_size(channels, side):
    network = RandomFeatures(channels)
    clean = torch.rand(5, channels, side, side + 1) * 2 - 1
    found = network(clean)
    assert found.shape == (5, network.num_features) == (5, 480)
    assert found.std(0).min() > 0
    assert torch.allclose(embed(clean, network, batch=2), found, atol=1e-5)
    assert not list(network.buffers())
    assert not any(weight.requires_grad for weight in network.parameters())


def test_random_features_depend_on_their_seed():
    clean = images(2)
    first, again, other = (RandomFeatures(1, seed)(clean) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, rtol=0.1)


def test_random_features_keep_their_scale_with_depth():
    """What He-normal weights are for: the mean square of a stage is within a factor of ten of the image's, 1."""
    noise = torch.randn(8, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    found = RandomFeatures(1)(noise).square()
    for stage in found.split([2 * width for width in (16, 32, 64, 128)], 1):
        assert 0.1 < 2 * stage.mean() < 10  # squared mean + variance = mean square, of each channel


@pytest.mark.parametrize(("corrupt", "strengths"), [(noisy, (0, 0.05, 0.1, 0.2, 0.4)), (blurred, (0, 0.5, 1, 2, 4))])
def test_distances_grow_with_the_corruption(corrupt, strengths):
    network = RandomFeatures(1)
    real, fake = images(128), images(128, seed=1)
    reals = embed(real, network)
    fakes = [embed(corrupt(fake, strength), network) for strength in strengths]
    assert increases([kernel_distance(reals, x) for x in fakes])
    scores = torch.tensor([precision_recall(reals, x) for x in fakes])
    assert (scores.diff(dim=0) <= 0).all()
    assert scores[0].min() > 0.7
    assert scores[-1].max() < 0.3


def standardised(real, fake):
    real, fake = real.double().numpy(), fake.double().numpy()
    return (real - real.mean(0)) / real.std(0), (fake - real.mean(0)) / real.std(0)


def covered_in_numpy(points, cover, k):
    radius = [sorted(math.dist(a, b) for j, b in enumerate(cover) if i != j)[k - 1] for i, a in enumerate(cover)]
    return np.mean([any(math.dist(x, c) <= r for c, r in zip(cover, radius, strict=True)) for x in points])


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_brute_force(k, monkeypatch):
    real, fake = cloud(50), 0.7 * cloud(40, seed=1) + 0.4
    a, b = standardised(real, fake)
    expected = covered_in_numpy(b, a, k), covered_in_numpy(a, b, k)
    assert 0 < expected[1] < 1
    assert precision_recall(real, fake, k) == expected
    monkeypatch.setattr("rgi.metrics.generative.precision_recall.CHUNK", 7)
    assert precision_recall(real, fake, k) == expected


def test_precision_and_recall_of_equal_and_of_distant_sets():
    real = cloud(40)
    assert precision_recall(real, real.flip(0)) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)


def test_lost_modes_cost_recall_and_invented_ones_precision():
    left, right = cloud(100), cloud(100, seed=1) + 100
    both = torch.cat([left, right])
    assert precision_recall(both, left) == (1, 0.5)
    assert precision_recall(left, both) == (0.5, 1)
    precision, recall = precision_recall(both, both[:1].expand(200, -1))
    assert (precision, recall) == (1, 1 / 200)


@pytest.mark.parametrize("metric", [precision_recall, kernel_distance])
def test_features_may_have_any_units_and_any_order(metric):
    real, fake = cloud(60), cloud(60, seed=1)
    scale, shift = torch.tensor([1e-3, 1, 1e3, 5, 2, 0.1]), torch.tensor([0, 1, -1e3, 5, 0, 3])
    expected = metric(real, fake)
    assert metric(real * scale + shift, fake * scale + shift) == pytest.approx(expected, rel=1e-3)
    assert metric(real.flip(0), fake.roll(7, 0)) == pytest.approx(expected, rel=1e-5)


def test_a_feature_that_is_constant_among_the_reals_keeps_its_units():
    real, fake = cloud(60), cloud(50, seed=1)
    flat = [torch.cat([x, torch.full((len(x), 1), 3.3)], 1) for x in (real, fake)]
    assert precision_recall(*flat) == precision_recall(real, fake)
    flat[1][:, -1] += 50
    assert precision_recall(*flat) == (0, 0)


def mmd_in_python(a, b):
    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def pairs(rows):
        return np.mean([kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j])

    return pairs(a) + pairs(b) - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_kernel_distance_equals_a_double_loop(monkeypatch):
    real, fake = cloud(30), cloud(25, seed=1, shift=0.3)
    expected = mmd_in_python(*standardised(real, fake))
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-4)
    monkeypatch.setattr("rgi.metrics.generative.kernel_distance.CHUNK", 7)
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-4)
    itself = mmd_in_python(*standardised(real, real))
    assert itself < 0
    assert kernel_distance(real, real) == pytest.approx(itself, rel=1e-4)


def test_kernel_distance_is_unbiased():
    """Fakes drawn from the reals themselves: of the distance to the reals, the one half that compares fakes is 0 on
    average, and the other half is that of the reals to themselves."""
    real, random = cloud(30), torch.Generator().manual_seed(0)
    found = [kernel_distance(real, real[torch.randint(30, (10,), generator=random)]) for _ in range(1000)]
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(kernel_distance(real, real) / 2, abs=3 * error)
    assert error < 0.02  # fine enough: comparing every row with itself, too, would add about 0.9


def gaussian(mean, covariance, count, seed):
    """Rows with exactly this mean and (sample) covariance, as images of one pixel per feature."""
    rows = np.random.default_rng(seed).normal(size=(count, len(mean)))
    rows -= rows.mean(0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return torch.from_numpy(white @ np.linalg.cholesky(covariance).T + mean).float()[:, :, None, None]


def test_fid_and_kid_without_torch_fidelity(untouched):
    half = np.random.default_rng(0).normal(size=(2, 4, 4))
    covariances = [x @ x.T + np.eye(4) for x in half]
    means = np.array([[0.0, 1, 2, 3], [1, 1, 0, 5]])
    sets = [gaussian(*moments, 300, seed) for seed, moments in enumerate(zip(means, covariances, strict=True))]
    found = frechet_and_kernel(*sets, nn.Flatten(), subsets=2)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert found["fid"] == pytest.approx(expected, rel=1e-4)
    real, fake = (x.flatten(1).double().numpy() for x in sets)
    within = [((x @ x.T / 4 + 1) ** 3)[~np.eye(300, dtype=bool)].mean() for x in (real, fake)]
    assert found["kid"] == pytest.approx(sum(within) - 2 * ((real @ fake.T / 4 + 1) ** 3).mean(), rel=1e-4)


def test_fid_of_equal_sets_is_zero_and_the_seed_decides_kids_subsets():
    real, fake, network = images(60), images(60, seed=1), RandomFeatures(1)
    assert frechet_and_kernel(real, real, network, subsets=1)["fid"] == pytest.approx(0, abs=1e-3)
    first, again, other = (
        frechet_and_kernel(real, fake, network, seed, subsets=3, subset_size=20) for seed in (0, 0, 1)
    )
    assert first == again
    assert first["kid"] != other["kid"]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_nearest_training_equals_brute_force(chunk):
    clean, training = images(20, 16, channels=3), images(30, 16, seed=1, channels=3)
    rows = [x.flatten(1).double().numpy() for x in (clean, training)]
    expected = cdist(*rows).min(1) / math.sqrt(rows[0].shape[1])
    found = nearest_training(clean, training, chunk)
    assert found.shape == (20,)
    assert np.allclose(found, expected, atol=1e-6)


def test_nearest_training_is_exact_for_near_copies():
    """Distances from the matrix product alone would be off by more than the smallest of these."""
    training, steps = images(40, 64), torch.tensor([0, 1e-5, 1e-4, 1e-3])
    copies = training[:4] + steps[:, None, None, None]
    assert torch.allclose(nearest_training(copies, training), steps, rtol=1e-2, atol=1e-7)


def test_nearest_training_is_near_enough_in_a_crowd_of_near_copies():
    random = torch.Generator().manual_seed(1)
    base, spread = images(1, 64), torch.linspace(1e-5, 1e-3, 200)[:, None, None, None]
    crowd = torch.cat([base + spread * torch.randn(200, 1, 64, 64, generator=random), images(20, 64, seed=1)])
    queries = base + torch.randn(30, 1, 64, 64, generator=random) * spread[:30]
    exact = torch.stack([(crowd.double() - x.double()).square().mean((1, 2, 3)).sqrt().min() for x in queries])
    assert torch.allclose(nearest_training(queries, crowd).double(), exact, rtol=0, atol=1e-4)


def test_memorisation_finds_planted_copies_and_nothing_else():
    training, held_out, samples = images(200, 16), images(400, 16, seed=1), images(400, 16, seed=2)
    honest = memorisation(samples, held_out, training)
    assert honest["copies"] == pytest.approx(0.05, abs=0.03)
    assert honest["sample_distance"] == pytest.approx(honest["held_out_distance"], rel=0.05)
    assert memorisation(held_out, held_out, training)["copies"] == pytest.approx(0.05)
    samples[:120] = noisy(training[:120], 0.02)
    cheating = memorisation(samples, held_out, training)
    assert cheating["copies"] == pytest.approx(0.3 + 0.7 * honest["copies"], abs=0.02)
    assert cheating["held_out_distance"] == honest["held_out_distance"]
    every = memorisation(training[:50], held_out, training)
    assert (every["copies"], every["sample_distance"]) == (1, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_judge_puts_the_four_together(channels, untouched):
    real, fake = images(40, 64, channels=channels), blurred(images(40, 64, seed=1, channels=channels), 1)
    found = sample_quality(real, fake, seed=2)
    swd = sliced_wasserstein(real, fake, 2, 32, 128)
    sets = [embed(x, RandomFeatures(channels, 2)) for x in (real, fake)]
    precision, recall = precision_recall(*sets)
    assert found == {
        **{f"swd_{side}": swd[side] for side in (64, 32, 16)},
        "swd": pytest.approx(np.mean(list(swd.values()))),
        "precision": precision,
        "recall": recall,
        "kernel_distance": kernel_distance(*sets),
    }


def test_judge_takes_any_network_and_does_not_count_gradients():
    weights = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 5))
    real = images(20)
    found = sample_quality(real, real.requires_grad_(), weights, descriptors=4, projections=8)
    assert found["swd"] == 0
    assert found["precision"] == found["recall"] == 1
    assert not embed(real, weights).requires_grad


def test_half_precision_and_doubles_are_judged_alike():
    real, fake = images(24, 16).bfloat16(), images(24, 16, seed=1).bfloat16()
    assert sample_quality(real, fake) == sample_quality(real.double(), fake.double())


NAN = torch.full((8, 1, 32, 32), torch.nan)
OK = torch.zeros(8, 1, 32, 32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample_quality(OK, NAN), "fake: holds NaN"),
        (lambda: sample_quality(OK[0], OK), r"real \(1, 32, 32\)"),
        (lambda: sample_quality(OK, OK[:, :, 1:]), r"real \(8, 1, 32, 32\) and fake \(8, 1, 31, 32\)"),
        (lambda: sample_quality(OK[:0], OK), r"real \(0, 1, 32, 32\)"),
        (lambda: sample_quality(OK[..., 1:], OK[..., 1:]), "32 x 31 pixels.*16, 32, 64"),
        (lambda: sample_quality(torch.ones(4, 1, 48, 48), torch.ones(4, 1, 48, 48)), "48 x 48 pixels"),
        (lambda: sample_quality(torch.ones(4, 1, 8, 8), torch.ones(4, 1, 8, 8)), "8 x 8 pixels"),
        (lambda: sample_quality(OK[:3], OK[:3]), "at least 4 rows"),
        (lambda: RandomFeatures(2), "channels=2"),
        (lambda: RandomFeatures(3)(OK), r"images \(8, 1, 32, 32\): pass \(N,3,H,W\)"),
        (lambda: RandomFeatures(1)(OK[..., :15]), "at least 16 pixels"),
        (lambda: embed(OK, nn.Identity()), "flatten its output"),
        (lambda: precision_recall(cloud(3), cloud(9)), r"real_features \(3, 6\)"),
        (lambda: precision_recall(cloud(9), cloud(9), k=9), "at least 10 rows"),
        (lambda: kernel_distance(cloud(9), cloud(9, 5)), r"fake_features \(9, 5\)"),
        (lambda: kernel_distance(cloud(9), cloud(9) / 0), "fake_features: holds NaN or infinities"),
        (lambda: frechet_and_kernel(OK[:1], OK, nn.Flatten()), "at least 2 rows"),
        (lambda: frechet_and_kernel(OK, NAN, nn.Flatten()), "fake: holds NaN"),
        (lambda: nearest_training(OK, OK[..., 1:]), r"training \(8, 1, 32, 31\)"),
        (lambda: memorisation(OK, NAN, OK), "held_out: holds NaN"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
