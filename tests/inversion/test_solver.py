"""Properties of all methods: batch invariance, closed forms, recovery, an unchanged GAN, clear errors."""

import copy
import dataclasses
import warnings

import pytest
import torch
from helpers.inversion_cases import COMMON, METHODS, corrupted
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion import solver
from rgi.inversion.objective import data_loss, mask_loss, profile_mask
from rgi.inversion.problem import Problem


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["compact", "progressive"])
def test_batch_invariance(method, family):
    """An image alone and in a batch gives the same numbers in float64 over the first steps.

    Rounding differs between sizes of a batch, and grows from step to step.
    """
    gan = tiny_gan(family)
    observed, mask, _ = corrupted(gan, 3)
    config = SolverConfig(**COMMON | METHODS[method])
    together = invert(gan, observed, config, given_mask=mask)
    for i in (2, 0):
        alone = invert(gan, observed[i : i + 1], config, given_mask=mask[i : i + 1])
        for field in ("restored", "mask", "latent", "objective", "iterations"):
            torch.testing.assert_close(getattr(together, field)[i], getattr(alone, field)[0], atol=1e-10, rtol=1e-9)


def test_the_profiled_mask_is_batch_invariant_over_many_steps():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 3)
    config = SolverConfig(**COMMON | {"iterations": 150})
    together, alone = invert(gan, observed, config), invert(gan, observed[1:2], config)
    torch.testing.assert_close(together.mask[1], alone.mask[0], atol=1e-8, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_the_gan_stays_unchanged(method):
    gan = tiny_gan()
    before = copy.deepcopy({role: module.state_dict() for role, module in gan.modules().items()})
    observed, mask, _ = corrupted(gan, 2)
    invert(gan, observed, SolverConfig(**COMMON | METHODS[method]), given_mask=mask)
    for role, module in gan.modules().items():
        assert all(value.equal(before[role][name]) for name, value in module.state_dict().items())
        assert not any(p.requires_grad or p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_lower_their_objective(method):
    gan = tiny_gan()
    observed, mask, _ = corrupted(gan, 4)
    start = observed.clone()
    config = SolverConfig(**COMMON | {"iterations": 60} | METHODS[method])
    result = invert(gan, observed, config, given_mask=mask)
    assert (result.objective < result.history[0]).all()
    assert observed.equal(start)
    assert result.restored.dtype == torch.float64
    assert not result.restored.requires_grad


@pytest.mark.parametrize("data_term", ["l2", "l1"])
@pytest.mark.parametrize("mask_shape", ["channel", "pixel"])
def test_the_profiled_objective_is_not_above_the_objective_of_a_learned_mask(data_term, mask_shape):
    """At equal z and λ, the profiled mask is the minimiser."""
    gan = tiny_gan("progressive", channels=3)
    observed, _, _ = corrupted(gan, 3)
    learned = SolverConfig(**COMMON | {"mask": "adam", "data_term": data_term, "mask_shape": mask_shape})
    result = invert(gan, observed, learned)
    frozen = learned.replace(mask="profiled", latent_start="given", iterations=1, lr_latent=1e-300)
    profiled = invert(gan, observed, frozen, latent_start=result.latent)
    torch.testing.assert_close(profiled.restored, result.restored)
    assert (profiled.objective <= result.objective + 1e-9).all()


@pytest.mark.parametrize("weight", [0.0, 20.0])
def test_inversion_of_a_linear_generator_is_ridge_regression(weight):
    """With a linear generator and no mask, the problem is convex and has a closed-form solution."""
    gan = tiny_gan("pca")
    observed = torch.randn(3, 1, 16, 16) * 0.5
    with torch.no_grad():
        mean = gan.generator(torch.zeros(1, 6)).double()
        basis = torch.cat([gan.generator(row[None]) for row in torch.eye(6)]).double() - mean
    design, target = basis.flatten(1).T, (observed.double() - mean).flatten(1).T
    normal = design.T @ design + weight * torch.eye(6, dtype=torch.float64)
    expected = torch.linalg.solve(normal, design.T @ target)
    assert weight == 0 or (expected - torch.linalg.lstsq(design, target).solution).norm() > 0.1
    config = SolverConfig(
        mask="none", precision="float64", iterations=500, tolerance=None, pool_size=50, latent_weight=weight
    )
    result = invert(gan, observed, config)
    torch.testing.assert_close(result.latent, expected.T, atol=1e-4, rtol=1e-3)
    residual = target - design @ expected
    torch.testing.assert_close(result.objective, residual.square().sum(0) + weight * expected.square().sum(0))


def test_the_clean_image_is_recovered_from_a_near_start():
    """One corrupted block, no noise: the error falls with λ, and the mask approaches the block."""
    gan = tiny_gan()
    torch.manual_seed(3)
    truth = torch.randn(4, gan.card.latent_dim)
    clean = gan.generator(truth)
    mask = torch.zeros(4, 1, 32, 32)
    mask[:, :, 8:16, 8:16] = 1
    observed = clean + mask * 1.5
    start = truth + 0.05 * torch.randn_like(truth)
    errors = []
    for penalty in (5.0, 0.2, 0.01):
        config = SolverConfig(
            mask_penalty=penalty, latent_start="given", iterations=400, precision="float64", lr_latent=0.02
        )
        result = invert(gan, observed, config, latent_start=start)
        errors.append((result.restored - clean).square().mean().sqrt().item())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert (result.mask.gt(0.5).float() - mask).abs().mean() < 0.01


def test_pixels_under_a_given_mask_have_no_effect():
    gan = tiny_gan()
    observed, mask, _ = corrupted(gan, 2)
    other = torch.where(mask.bool(), torch.full_like(observed, 7.0), observed)
    config = SolverConfig(mask="given", iterations=10, latent_start="given")
    start = torch.randn(2, gan.card.latent_dim)
    one = invert(gan, observed, config, given_mask=mask, latent_start=start)
    two = invert(gan, other, config, given_mask=mask.expand_as(observed), latent_start=start)
    torch.testing.assert_close(one.latent, two.latent)
    assert one.mask.equal(mask)


def test_settled_images_stop_and_other_images_continue():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 4)
    config = SolverConfig(iterations=120, tolerance=0.02, pool_size=10, schedule="constant", precision="float64")
    result = invert(gan, observed, config)
    assert result.iterations.min() < result.iterations.max()
    for i in range(4):
        steps = result.iterations[i]
        assert result.history[:steps, i].isfinite().all()
        assert result.history[steps:, i].isnan().all()


@pytest.mark.parametrize("tune_from", [5, 40, 55])
def test_no_image_leaves_before_its_weights_were_tuned(tune_from):
    """A high tolerance lets every image leave as early as possible; R-RGI must not end as RGI."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 3)
    common = COMMON | {"precision": "float32", "iterations": 60, "tolerance": 10.0, "lr_generator": 1e-2, "starts": 1}
    relaxed = SolverConfig(**common, tune_generator=True, warm_moments=False, tune_from=tune_from)
    result, plain = invert(gan, observed, relaxed), invert(gan, observed, SolverConfig(**common))
    assert (result.iterations >= min(60, tune_from + 10)).all()
    with torch.no_grad():
        assert (result.restored - gan.generator(result.latent)).abs().max() > 1e-4
    assert (plain.iterations < 60).all()


def test_continuation_ends_at_the_given_penalty():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    config = SolverConfig(**COMMON | {"iterations": 40, "continuation": 8.0})
    assert config.penalty_factor(0) == pytest.approx(8)
    assert config.penalty_factor(10) == pytest.approx(8**0.5)
    assert config.penalty_factor(20) == config.penalty_factor(39) == 1
    result = invert(gan, observed, config)
    mask = profile_mask(observed - result.restored, 0.05, "l2", "channel")
    torch.testing.assert_close(result.mask, mask)
    expected = data_loss(observed - result.restored, mask, "l2") + mask_loss(mask, 0.05)
    torch.testing.assert_close(result.objective, expected)


def test_parts_of_a_batch_give_the_result_of_the_whole_batch(monkeypatch):
    gan = tiny_gan()
    observed, mask, _ = corrupted(gan, 5)
    config = SolverConfig(**COMMON | {"mask": "given", "tolerance": 0.4, "iterations": 60, "schedule": "constant"})
    whole = invert(gan, observed, config, given_mask=mask)
    sizes = []
    monkeypatch.setattr(solver, "images_at_once", lambda _: 2)
    parts = invert(gan, observed, config, given_mask=mask, on_step=sizes.append)
    assert set(sizes) <= {1, 2}
    assert len(set(whole.iterations.tolist())) > 1
    for field in dataclasses.fields(whole):
        if field.name not in ("seconds", "mask_optimised"):
            actual, expected = getattr(parts, field.name), getattr(whole, field.name)
            torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0, equal_nan=True)


OBSERVED = torch.zeros(2, 1, 32, 32)
WRONG_ARGUMENTS = {
    "observed": {"observed": torch.zeros(2, 3, 32, 32)},
    "observed: shape": {"observed": torch.zeros(1, 32, 32)},
    "observed: holds NaN": {"observed": OBSERVED.clone().index_fill_(0, torch.tensor([0]), torch.nan)},
    "observed: type torch.uint8; pass floats": {"observed": OBSERVED.byte()},
    "given_mask: required": {"config": {"mask": "given"}},
    "given_mask: shape": {"config": {"mask": "given"}, "given_mask": torch.zeros(2, 1, 16, 16)},
    "given_mask: values": {"config": {"mask": "given"}, "given_mask": OBSERVED + 2},
    "latent_start: required": {"config": {"latent_start": "given"}},
    "latent_start: shape": {"config": {"latent_start": "given"}, "latent_start": torch.zeros(2, 3)},
    "pool: shape": {"pool": torch.zeros(5, 3)},
    "pool: holds NaN": {"pool": torch.full((5, 8), torch.inf)},
    "latent_start=encoder": {"config": {"latent_start": "encoder"}},
}


@pytest.mark.parametrize("message", WRONG_ARGUMENTS)
def test_the_message_names_the_wrong_argument(message):
    arguments = {"observed": OBSERVED} | WRONG_ARGUMENTS[message]
    config = SolverConfig(iterations=2, **arguments.pop("config", {}))
    with pytest.raises(ValueError, match=message):
        invert(tiny_gan(), config=config, **arguments)


def test_images_of_another_range_are_warned_about():
    """Values of 0 to 255 are a mistake; a corrupted half is not."""
    config = SolverConfig(iterations=2, pool_size=4)
    with pytest.warns(
        UserWarning, match=r"^observed: values from 10 to 255, but the generator makes images in \[-1, 1\]"
    ):
        invert(tiny_gan(), torch.linspace(10, 255, 2 * 32 * 32).view(2, 1, 32, 32), config)
    half = OBSERVED.clone()
    half[..., :15] = 100
    with warnings.catch_warnings(action="error"):
        invert(tiny_gan(), half, config)


def test_a_critic_term_needs_a_critic():
    with pytest.raises(ValueError, match="without a critic"):
        invert(tiny_gan("pca"), torch.zeros(1, 1, 16, 16), SolverConfig(critic_weight=1.0))


def held_case(hold, **changes):
    """R-RGI of images with a block whose residuals lie above the threshold of λ, and the masks of the blocks."""
    gan = tiny_gan()
    torch.manual_seed(3)
    observed, block = gan.generator(torch.randn(3, 8)), torch.zeros(3, 1, 32, 32)
    block[..., 8:20, 8:20] = 1
    tuning = {"tune_generator": True, "tune_from": 20, "warm_moments": False, "lr_generator": 1e-2, "mask_hold": hold}
    every_step = {"iterations": 60, "tolerance": None, "starts": 1}
    config = SolverConfig(**COMMON | {"mask_penalty": 0.3} | tuning | every_step | changes)
    return invert(gan, observed + block, config), block


@pytest.mark.parametrize("compiled", [False, True])
def test_theta_does_not_learn_what_is_held(compiled, monkeypatch):
    """Without a held mask θ learns the block; with it the block keeps its residual. M is the minimiser in any case.

    A compiled network needs a second forward pass.
    """
    monkeypatch.setattr("rgi.inversion.weights.compile_function", lambda function: function)
    (learned, block), (held, _) = held_case(None), held_case(0.3, compile=compiled)
    inside = torch.zeros_like(block)
    inside[..., 10:18, 10:18] = 1
    residuals = [((each.observed - each.restored).abs() * inside).sum() / inside.sum() for each in (learned, held)]
    assert residuals[0] < 0.3
    assert residuals[1] > 0.7
    torch.testing.assert_close(held.mask, profile_mask(held.observed - held.restored, 0.3, "l2", "channel"))
    assert (held.evaluations == learned.evaluations + 40 * compiled).all()


def test_z_does_not_see_the_mask_of_theta():
    """One step of z and θ: the same z, another θ."""
    (free, _), (held, _) = (held_case(hold, iterations=21) for hold in (None, 0.3))
    torch.testing.assert_close(free.history, held.history)
    torch.testing.assert_close(free.latent, held.latent)
    assert not free.restored.allclose(held.restored)


def test_strong_residuals_are_those_above_their_own_clean_quantile():
    gan = tiny_gan()
    gan.card = dataclasses.replace(gan.card, residuals={"0.5": 0.1, "0.9": 0.3, "0.99": 0.4})
    observed = torch.zeros(1, 1, 32, 32)
    observed[..., 4:10, 4:10], observed[..., 20:26, 20:26] = 0.41, 0.39
    config = SolverConfig(mask_penalty="auto", clean_quantile=0.5, mask_hold=0.5, tune_generator=True)
    for number, quantile, second in (("auto", 0.99, 0), ("auto", 0.9, 1), (0.02, 0.99, 1)):  # 0.02 has threshold 0.1
        changed = config.replace(mask_penalty=number, hold_quantile=quantile)
        problem = Problem(gan, observed, changed, None)
        problem.hold(torch.zeros_like(observed))
        assert (problem.held_mask[..., 5:9, 5:9] == 1).all()
        assert (problem.held_mask[..., 21:25, 21:25] == second).all()
        assert problem.held_mask[..., 12:18, 12:18].eq(0).all()
    gan.card = dataclasses.replace(gan.card, residuals={"0.5": 0.1})
    with pytest.raises(ValueError, match=r"solver.hold_quantile=0.99: .* only 0.5; .*task=calibrate"):
        Problem(gan, observed, config, None)


def test_without_a_tuned_generator_no_mask_is_held():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    plain = SolverConfig(**COMMON)
    assert invert(gan, observed, plain.replace(mask_hold=0.3)).objective.equal(invert(gan, observed, plain).objective)
