"""Starts of the latent code: pool, encoder and several starts."""

from itertools import pairwise

import pytest
import torch
from helpers.inversion_cases import COMMON, corrupted
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.generators import build
from rgi.generators.encoder import Encoder
from rgi.generators.store import GAN, Card
from rgi.inversion.start import draw_pool


def test_pool_start_is_the_nearest_member_and_independent_of_the_batch():
    gan = tiny_gan()
    pool = torch.randn(30, gan.card.latent_dim)
    pool[17] = pool[4]  # equal distances: the later member is used
    observed = gan.generator(pool[[4, 9]])
    config = SolverConfig(iterations=1, lr_latent=1e-30)
    result = invert(gan, observed, config, pool=pool)
    torch.testing.assert_close(result.latent, pool[[17, 9]])
    drawn = [invert(gan, images, config, seed=5).latent for images in (observed, observed[1:])]
    assert drawn[0][1].equal(drawn[1][0])
    assert not drawn[0].equal(invert(gan, observed, config, seed=6).latent)


def test_the_pool_is_evaluated_again_after_a_change_of_the_weights():
    gan = tiny_gan()
    pool = torch.randn(30, gan.card.latent_dim)
    config = SolverConfig(iterations=1, lr_latent=1e-30)
    invert(gan, gan.generator(pool[:1]), config, pool=pool)
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    result = invert(gan, gan.generator(pool[:1]), config, pool=pool)
    torch.testing.assert_close(result.latent, pool[:1])


def test_a_hole_has_no_effect_on_the_start():
    """The start equals the image outside the hole, although another member of the pool has a smaller distance."""
    gan = tiny_gan()
    pool = torch.randn(30, gan.card.latent_dim)
    images = gan.generator(pool)
    observed = images[[6]].clone()
    observed[..., 8:28, 8:28] = images[12, :, 8:28, 8:28] * 3
    plain = (images - observed).square().sum((1, 2, 3))
    assert plain.argmin() != 6
    config = SolverConfig(iterations=1, lr_latent=1e-30)
    torch.testing.assert_close(invert(gan, observed, config, pool=pool).latent, pool[[6]])
    paper = invert(gan, observed, config.replace(mask="adam"), pool=pool)
    torch.testing.assert_close(paper.latent, pool[[int(plain.argmin())]])


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("starts", [2, 5])
def test_the_better_half_of_the_starts_continues(starts, tuned):
    """The result is that of the start that is left when the worse half of the starts leaves again and again."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 3)
    pool = torch.randn(starts, gan.card.latent_dim)
    tuning = {"tune_generator": tuned, "tune_from": 2, "warm_moments": False, "lr_generator": 1e-3}
    config = SolverConfig(**COMMON | {"trial_steps": 9} | tuning)
    together = invert(gan, observed, config.replace(starts=starts), pool=pool)
    alone = [invert(gan, observed, config.replace(starts=1), pool=pool[[i]]) for i in range(starts)]
    history = torch.stack([result.history for result in alone], 1)
    halvings, left = {2: {9: 1}, 5: {3: 3, 6: 2, 9: 1}}[starts], [list(range(starts))] * 3
    for step, count in halvings.items():
        left = [sorted(each, key=lambda start, i=i: history[step - 1, start, i])[:count] for i, each in enumerate(left)]
    best = torch.tensor(left).flatten()
    torch.testing.assert_close(together.objective, torch.stack([result.objective for result in alone])[best, range(3)])
    torch.testing.assert_close(together.history[0], history[0].amin(0))
    torch.testing.assert_close(together.history[9:], history[9:, best, range(3)])
    assert (together.iterations == config.iterations).all()


@pytest.mark.parametrize(
    ("starts", "iterations", "expected"),
    [(1, 6, 7), (3, 6, 3 * 2 + 2 * 2 + 2 + 1), (3, 2, 3 * 2 + 1), (3, 3, 3 * 2 + 2 + 1), (8, 6, 8 * 2 + 4 + 2 + 2 + 1)],
)
def test_evaluations_include_all_starts(starts, iterations, expected):
    """In the first four steps the starts are halved, then one is left, and the result needs one more evaluation."""
    gan = tiny_gan()
    config = SolverConfig(iterations=iterations, starts=starts, trial_steps=4, pool_size=8, tolerance=None)
    result = invert(gan, torch.zeros(2, 1, 32, 32), config)
    assert result.evaluations.tolist() == [expected] * 2


@pytest.mark.parametrize("starts", range(1, 18))
def test_the_starts_are_halved_in_equal_parts_of_the_trial(starts):
    config = SolverConfig(starts=starts, trial_steps=20)
    counts = [config.starts_in(step) for step in range(30)]
    assert counts[0] == starts
    assert counts[20:] == [1] * 10
    assert counts == sorted(counts, reverse=True)
    for before, after in pairwise(dict.fromkeys(counts)):
        assert after == -(-before // 2)
    lengths = [counts.count(each) for each in dict.fromkeys(counts) if each > 1]
    assert not lengths or max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("changes", [{"latent_start": "encoder"}, {"latent_start": "auto", "starts": 1}])
def test_the_encoder_gives_the_start(changes):
    gan = tiny_gan()
    gan.encoder = Encoder(8, 1, 32, width=2, max_width=4).eval().requires_grad_(False)
    observed = torch.randn(3, 1, 32, 32)
    result = invert(gan, observed, SolverConfig(iterations=1, lr_latent=1e-30, precision="float32", **changes))
    torch.testing.assert_close(result.latent, gan.encoder(observed))


@pytest.mark.parametrize("encoder_is_right", [True, False])
def test_auto_uses_the_better_of_encoder_and_pool(encoder_is_right):
    gan = tiny_gan()
    truth = draw_pool(20, 8, "normal", seed=3)[[7]]
    guess = truth if encoder_is_right else truth + 2
    gan.encoder = Encoder(8, 1, 32, width=2, max_width=4).eval().requires_grad_(False)
    gan.encoder.head.weight.data.zero_()
    gan.encoder.head.bias.data.copy_(guess[0])
    config = SolverConfig(iterations=1, lr_latent=1e-30, starts=2, pool_size=20, precision="float32")
    result = invert(gan, gan.generator(truth), config, seed=99 if encoder_is_right else 3)
    torch.testing.assert_close(result.latent, truth)


def test_auto_uses_the_pool_if_a_pool_is_given_or_there_is_no_encoder():
    gan, pool = tiny_gan(), torch.randn(20, 8)
    observed = gan.generator(pool[[3, 11]])
    config = SolverConfig(latent_start="auto", iterations=1, lr_latent=1e-30)
    torch.testing.assert_close(invert(gan, observed, config, pool=pool).latent, pool[[3, 11]])
    drawn = invert(gan, observed, config.replace(latent_start="pool"), seed=3).latent
    assert invert(gan, observed, config, seed=3).latent.equal(drawn)
    gan.encoder = Encoder(8, 1, 32, width=2, max_width=4).eval().requires_grad_(False)
    torch.testing.assert_close(invert(gan, observed, config, pool=pool).latent, pool[[3, 11]])


def test_a_linear_generator_starts_at_the_least_squares_code():
    """With few steps, the guess is the start that continues, because no member of the pool is as near."""
    generator, _ = build("appearance", latent_dim=6, channels=1, resolution=16, shapes=0)
    gan = GAN(generator, None, None, Card("appearance", 6, 1, 16))
    codes = 2 * torch.randn(3, gan.card.latent_dim)
    images = gan.generator(codes)
    torch.testing.assert_close(gan.generator.guess(images), codes, rtol=1e-3, atol=1e-3)
    config = SolverConfig(mask="none", iterations=1, trial_steps=1, lr_latent=1e-9, precision="float32", pool_size=20)
    assert (invert(gan, images, config).latent - codes).abs().max() < 1e-2
    random = invert(gan, images, config.replace(latent_start="pool"))
    assert (random.latent - codes).abs().max() > 0.1
