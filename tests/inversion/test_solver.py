"""What holds for every method: batch invariance, closed forms, recovery, an untouched generator, clear errors."""

import copy
import dataclasses
from functools import partial
from types import SimpleNamespace

import psutil
import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion import solver, weights
from rgi.inversion.calibration import clean_residuals
from rgi.inversion.memory import images_at_once
from rgi.inversion.objective import data_loss, mask_loss, profile_mask
from rgi.inversion.problem import Problem

COMMON = {"precision": "float64", "iterations": 15, "pool_size": 20, "mask_penalty": 0.05}
METHODS = {
    "anogan": {"mask": "none"},
    "rgi": {},
    "rgi_l1": {"data_term": "l1"},
    "rgi_pixel": {"mask_shape": "pixel"},
    "rgi_closing": {"mask_closing": 0.5},
    "rgi_critic": {"critic_weight": 0.1},
    "rgi_adam": {"mask": "adam", "mask_init": "ones", "schedule": "constant", "warmup": 0, "freeze_mask_from": 8},
    "yeh_masked": {"mask": "given", "data_term": "l1"},
    "r_rgi": {"tune_generator": True, "tune_from": 5, "lr_generator": 1e-3, "warm_moments": False},
    "r_rgi_warm": {"tune_generator": True, "tune_from": 5, "lr_generator": 1e-3, "mask": "adam"},
    "pan_masked": {"mask": "given", "tune_generator": True, "tune_from": 5, "lr_generator": 1e-3},
    "rgi_settling": {"tolerance": 0.2, "iterations": 40},
    "rgi_trial": {"starts": 3, "trial_steps": 5},
    "rgi_continuation": {"continuation": 10.0},
    "r_rgi_trial": {"tune_generator": True, "tune_from": 3, "lr_generator": 1e-3, "starts": 3, "trial_steps": 6},
}


def corrupted(gan, count, seed=1):
    """Images of the generator with a wrong block each, and the blocks' masks."""
    torch.manual_seed(seed)
    card = gan.card
    clean = gan.generator(torch.randn(count, card.latent_dim))
    mask = torch.zeros(count, 1, card.resolution, card.resolution)
    for i in range(count):
        top = 2 + i % 4
        mask[i, :, top : top + 4, 3:7] = 1
    return clean + mask * torch.randn_like(clean) * 2, mask, clean


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["compact", "progressive"])
def test_batch_invariance(method, family):
    """Together, alone or in another order: the same numbers to 1e-10 in float64 over the first steps."""
    gan = tiny_gan(family)
    observed, mask, _ = corrupted(gan, 3)
    config = SolverConfig(**COMMON | METHODS[method])
    together = invert(gan, observed, config, given_mask=mask)
    for i in (2, 0):
        alone = invert(gan, observed[i : i + 1], config, given_mask=mask[i : i + 1])
        for field in ("restored", "mask", "latent", "objective", "iterations"):
            torch.testing.assert_close(getattr(together, field)[i], getattr(alone, field)[0], atol=1e-10, rtol=0)


def test_profiled_mask_is_invariant_at_any_length():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 3)
    config = SolverConfig(**COMMON | {"iterations": 150})
    together, alone = invert(gan, observed, config), invert(gan, observed[1:2], config)
    torch.testing.assert_close(together.mask[1], alone.mask[0], atol=1e-8, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_gan_is_left_untouched(method):
    gan = tiny_gan()
    before = copy.deepcopy({role: module.state_dict() for role, module in gan.modules().items()})
    observed, mask, _ = corrupted(gan, 2)
    invert(gan, observed, SolverConfig(**COMMON | METHODS[method]), given_mask=mask)
    for role, module in gan.modules().items():
        assert all(value.equal(before[role][name]) for name, value in module.state_dict().items())
        assert not any(p.requires_grad or p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_lowers_its_objective(method):
    gan = tiny_gan()
    observed, mask, _ = corrupted(gan, 4)
    start = observed.clone()
    config = SolverConfig(**COMMON | {"iterations": 60} | METHODS[method])
    found = invert(gan, observed, config, given_mask=mask)
    assert (found.objective < found.history[0]).all()
    assert observed.equal(start)
    assert found.restored.dtype == torch.float64
    assert not found.restored.requires_grad


@pytest.mark.parametrize("data_term", ["l2", "l1"])
@pytest.mark.parametrize("mask_shape", ["channel", "pixel"])
def test_profiled_objective_is_never_above_the_learned_masks(data_term, mask_shape):
    """At the learned run's own z and λ, eliminating M can only help."""
    gan = tiny_gan("progressive", channels=3)
    observed, _, _ = corrupted(gan, 3)
    learned = SolverConfig(**COMMON | {"mask": "adam", "data_term": data_term, "mask_shape": mask_shape})
    found = invert(gan, observed, learned)
    frozen = learned.replace(mask="profiled", latent_start="given", iterations=1, lr_latent=1e-300)
    profiled = invert(gan, observed, frozen, latent_start=found.latent)
    torch.testing.assert_close(profiled.restored, found.restored)
    assert (profiled.objective <= found.objective + 1e-9).all()


def test_least_squares_inversion_of_a_linear_generator_is_its_projection():
    """With PCA and no mask the problem is convex: Adam must find the closed-form solution."""
    gan = tiny_gan("pca")
    observed = torch.randn(3, 1, 16, 16) * 0.5
    with torch.no_grad():
        mean = gan.generator(torch.zeros(1, 6)).double()
        basis = torch.cat([gan.generator(row[None]) for row in torch.eye(6)]).double() - mean
    design, target = basis.flatten(1).T, (observed.double() - mean).flatten(1).T
    exact = torch.linalg.lstsq(design, target).solution
    config = SolverConfig(mask="none", precision="float64", iterations=500, pool_size=50)
    found = invert(gan, observed, config)
    torch.testing.assert_close(found.latent, exact.T, atol=1e-4, rtol=1e-3)


def test_recovery_in_the_basin():
    """Noise-free image with a gross block: the error falls with λ and the mask tends to the block."""
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
        found = invert(gan, observed, config, latent_start=start)
        errors.append((found.restored - clean).square().mean().sqrt().item())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert (found.mask.gt(0.5).float() - mask).abs().mean() < 0.01


def test_given_mask_hides_what_it_covers():
    """What lies under the mask changes nothing."""
    gan = tiny_gan()
    observed, mask, _ = corrupted(gan, 2)
    other = torch.where(mask.bool(), torch.full_like(observed, 7.0), observed)
    config = SolverConfig(mask="given", iterations=10, latent_start="given")
    start = torch.randn(2, gan.card.latent_dim)
    one = invert(gan, observed, config, given_mask=mask, latent_start=start)
    two = invert(gan, other, config, given_mask=mask.expand_as(observed), latent_start=start)
    torch.testing.assert_close(one.latent, two.latent)
    assert one.mask.equal(mask)


def test_pool_start_is_the_nearest_member_and_independent_of_the_batch():
    gan = tiny_gan()
    pool = torch.randn(30, gan.card.latent_dim)
    pool[17] = pool[4]  # a tie: the later one is taken
    observed = gan.generator(pool[[4, 9]])
    config = SolverConfig(iterations=1, lr_latent=1e-30)
    found = invert(gan, observed, config, pool=pool)
    torch.testing.assert_close(found.latent, pool[[17, 9]])
    drawn = [invert(gan, images, config, seed=5).latent for images in (observed, observed[1:])]
    assert drawn[0][1].equal(drawn[1][0])
    assert not drawn[0].equal(invert(gan, observed, config, seed=6).latent)


def test_pool_follows_a_generator_that_changes_in_place():
    gan = tiny_gan()
    pool = torch.randn(30, gan.card.latent_dim)
    config = SolverConfig(iterations=1, lr_latent=1e-30)
    invert(gan, gan.generator(pool[:1]), config, pool=pool)
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    found = invert(gan, gan.generator(pool[:1]), config, pool=pool)
    torch.testing.assert_close(found.latent, pool[:1])


def test_settled_images_leave_and_the_rest_go_on():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 4)
    config = SolverConfig(iterations=120, tolerance=0.02, pool_size=10, schedule="constant", precision="float64")
    found = invert(gan, observed, config)
    assert found.iterations.min() < found.iterations.max()
    for i in range(4):
        steps = found.iterations[i]
        assert found.history[:steps, i].isfinite().all()
        assert found.history[steps:, i].isnan().all()


def test_a_hole_has_no_say_in_the_start():
    """The member whose image is observed, but for a hole, is chosen although another is nearer over all pixels."""
    gan = tiny_gan()
    pool = torch.randn(30, gan.card.latent_dim)
    images = gan.generator(pool)
    observed = images[[6]].clone()
    observed[..., 8:28, 8:28] = images[12, :, 8:28, 8:28] * 3
    plain = (images - observed).square().sum((1, 2, 3))
    assert plain.argmin() != 6
    config = SolverConfig(iterations=1, lr_latent=1e-30)
    torch.testing.assert_close(invert(gan, observed, config, pool=pool).latent, pool[[6]])
    papers = invert(gan, observed, config.replace(mask="adam"), pool=pool)
    torch.testing.assert_close(papers.latent, pool[[int(plain.argmin())]])


@pytest.mark.parametrize("tuned", [False, True])
def test_of_several_starts_the_best_goes_on(tuned):
    """The trial ends with what the best of them alone would have found by then."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 3)
    pool = torch.randn(3, gan.card.latent_dim)
    tuning = {"tune_generator": tuned, "tune_from": 2, "warm_moments": False, "lr_generator": 1e-3}
    config = SolverConfig(**COMMON | {"trial_steps": 8} | tuning)
    together = invert(gan, observed, config.replace(starts=3), pool=pool)
    alone = [invert(gan, observed, config.replace(starts=1), pool=pool[[i]]) for i in range(3)]
    after_trial = torch.stack([found.history[7] for found in alone])
    best = after_trial.argmin(0)
    torch.testing.assert_close(together.objective, torch.stack([found.objective for found in alone])[best, range(3)])
    torch.testing.assert_close(together.history[7], after_trial.amin(0))
    assert (together.iterations == config.iterations).all()


def test_continuation_ends_at_the_penalty_itself():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    config = SolverConfig(**COMMON | {"iterations": 40, "continuation": 8.0})
    assert config.penalty_factor(0) == pytest.approx(8)
    assert config.penalty_factor(10) == pytest.approx(8**0.5)
    assert config.penalty_factor(20) == config.penalty_factor(39) == 1
    found = invert(gan, observed, config)
    mask = profile_mask(observed - found.restored, 0.05, "l2", "channel")
    torch.testing.assert_close(found.mask, mask)
    expected = data_loss(observed - found.restored, mask, "l2") + mask_loss(mask, 0.05)
    torch.testing.assert_close(found.objective, expected)


def test_parts_of_a_batch_are_put_together(monkeypatch):
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
            ours, theirs = getattr(parts, field.name), getattr(whole, field.name)
            torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0, equal_nan=True)


def test_fewer_images_at_once_where_memory_is_short(monkeypatch):
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)

    def at_once(free: int, **changes) -> int:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
        return images_at_once(Problem(gan, observed, SolverConfig(**changes), None))

    assert at_once(2**40) == 32
    assert at_once(1) == 1
    free = 2**24
    counts = [at_once(free, starts=1), at_once(free), at_once(free, tune_generator=True)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]


def test_results_are_evaluated_in_full_precision():
    """Whatever the networks' precision on the way, the restored image is the generator's own."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    for tuned in (False, True):
        config = SolverConfig(iterations=8, precision="bfloat16", tune_generator=tuned, lr_generator=1e-30)
        found = invert(gan, observed, config)
        torch.testing.assert_close(found.restored, gan.generator(found.latent))


@pytest.mark.parametrize("method", ["rgi", "r_rgi"])
def test_a_compiled_network_gives_the_same(method, monkeypatch):
    """Traced and differentiated ahead of time as on a GPU, but not turned into machine code, which takes a minute."""
    traced = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(weights, "compile_function", lambda function: traced(function, dynamic=False))
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    config = SolverConfig(**COMMON | METHODS[method] | {"starts": 1})
    plain, compiled = (invert(gan, observed, config.replace(compile=compile)) for compile in (False, True))
    torch.testing.assert_close(compiled.restored, plain.restored, atol=1e-8, rtol=0)


def test_works_inside_inference_mode_and_without_gradients():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    config = SolverConfig(iterations=5)
    plain = invert(gan, observed, config)
    for context in (torch.inference_mode(), torch.no_grad()):
        with context:
            assert invert(gan, observed.clone(), config).latent.equal(plain.latent)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_lower_precision_ends_near_double(precision):
    """From one start: between two that are equally good, rounding may decide otherwise."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 3)
    exact = invert(gan, observed, SolverConfig(**COMMON | {"iterations": 60, "starts": 1}))
    found = invert(gan, observed, SolverConfig(**COMMON | {"iterations": 60, "starts": 1, "precision": precision}))
    assert found.objective.dtype == torch.float32
    tolerance = 0.15 if precision == "bfloat16" else 0.02
    torch.testing.assert_close(found.objective.double(), exact.objective, rtol=tolerance, atol=0.0)


def test_anomaly_map():
    gan = tiny_gan("progressive", channels=3)
    observed, _, _ = corrupted(gan, 2)
    found = invert(gan, observed, SolverConfig(iterations=40, mask_penalty=0.05))
    weights = torch.tensor([0.2989, 0.5870, 0.1140]).view(1, 3, 1, 1)
    torch.testing.assert_close(found.anomaly_map(), (found.mask.abs() * weights).sum(1))
    residual = ((found.observed - found.restored).abs() * weights).sum(1)
    torch.testing.assert_close(found.anomaly_map("residual"), residual)
    smooth = found.anomaly_map("residual", sigma=1.5)
    assert smooth.amax() < residual.amax()
    torch.testing.assert_close(smooth.mean(), residual.mean(), rtol=0.02, atol=0)
    assert (found.anomaly_map() >= 0).all()
    plain = invert(gan, observed, SolverConfig(iterations=2, mask="none"))
    assert plain.anomaly_map().equal(plain.anomaly_map("residual"))
    with pytest.raises(ValueError, match="kind"):
        found.anomaly_map("nonsense")


def test_automatic_penalty_comes_from_clean_residuals():
    gan = tiny_gan()
    torch.manual_seed(0)
    clean = gan.generator(torch.randn(4, gan.card.latent_dim)) + 0.05 * torch.randn(4, 1, 32, 32)
    with pytest.raises(ValueError, match="task=calibrate"):
        invert(gan, clean, SolverConfig(mask_penalty="auto"))
    residuals = clean_residuals(gan, clean, SolverConfig(iterations=60))
    levels = [residuals[key] for key in sorted(residuals, key=float)]
    assert levels == sorted(levels)
    gan.card = dataclasses.replace(gan.card, residuals=residuals)
    for level in (0.9, 0.5):
        by_hand = SolverConfig(mask_penalty=2 * residuals[str(level)] ** 2, iterations=5)
        automatic = invert(gan, clean, by_hand.replace(mask_penalty="auto", clean_quantile=level))
        assert automatic.objective.equal(invert(gan, clean, by_hand).objective)
    with pytest.raises(ValueError, match=r"solver.clean_quantile=0.7: .* holds 0.5, 0.9"):
        invert(gan, clean, SolverConfig(mask_penalty="auto", clean_quantile=0.7))


GOOD = torch.zeros(2, 1, 32, 32)
BAD_ARGUMENTS = {
    "observed": {"observed": torch.zeros(2, 3, 32, 32)},
    "observed: shape": {"observed": torch.zeros(1, 32, 32)},
    "observed: holds NaN": {"observed": GOOD.clone().index_fill_(0, torch.tensor([0]), torch.nan)},
    "given_mask: required": {"config": {"mask": "given"}},
    "given_mask: shape": {"config": {"mask": "given"}, "given_mask": torch.zeros(2, 1, 16, 16)},
    "given_mask: values": {"config": {"mask": "given"}, "given_mask": GOOD + 2},
    "latent_start: required": {"config": {"latent_start": "given"}},
    "latent_start: shape": {"config": {"latent_start": "given"}, "latent_start": torch.zeros(2, 3)},
    "pool: shape": {"pool": torch.zeros(5, 3)},
    "pool: holds NaN": {"pool": torch.full((5, 8), torch.inf)},
    "latent_start=encoder": {"config": {"latent_start": "encoder"}},
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_bad_arguments_are_named(message):
    arguments = {"observed": GOOD} | BAD_ARGUMENTS[message]
    config = SolverConfig(iterations=2, **arguments.pop("config", {}))
    with pytest.raises(ValueError, match=message):
        invert(tiny_gan(), config=config, **arguments)


def test_a_critic_term_needs_a_critic():
    with pytest.raises(ValueError, match="without a critic"):
        invert(tiny_gan("pca"), torch.zeros(1, 1, 16, 16), SolverConfig(critic_weight=1.0))


BAD_OPTIONS = {
    "mask_penalty": [-1, 0, "much", True, float("nan")],
    "data_term": ["l3", None],
    "mask": ["learned"],
    "iterations": [0, 1.5, "many", True],
    "betas": [(0.9,), (0.9, 1.0), "ab", None],
    "tune_generator": [1, "yes"],
    "freeze_mask_from": [-1, 2.5],
    "tolerance": [-0.1, "x"],
    "lr_latent": [0, -1],
    "critic_weight": [-1],
    "precision": ["float16"],
    "pool_size": [0],
    "starts": [0, 1.5],
    "trial_steps": [0],
    "continuation": [0.5, "x"],
    "mask_closing": [-0.1, 1, "x"],
    "clean_quantile": [-0.1, 1.0, "x", None],
    "latent_basis": ["polar"],
    "compile": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_OPTIONS.items() for value in values])
def test_bad_options_are_named(name, value):
    with pytest.raises(ValueError, match=f"solver.{name}="):
        SolverConfig(**{name: value})


def test_betas_come_from_a_configuration_file_as_a_list():
    assert SolverConfig(betas=[0.5, 0.9]).betas == (0.5, 0.9)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_schedule(schedule):
    config = SolverConfig(schedule=schedule, warmup=4, iterations=100)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.25)
    assert rates[3] == pytest.approx(1.0, abs=0.01)
    assert rates[-1] == (1.0 if schedule == "constant" else pytest.approx(0.0, abs=1e-3))


@pytest.mark.parametrize(("starts", "iterations", "expected"), [(1, 6, 7), (3, 6, 3 * 4 + 2 + 1), (3, 2, 3 * 2 + 1)])
def test_evaluations_count_every_start(starts, iterations, expected):
    """Four steps of the trial with all starts, the rest with one, and the result."""
    gan = tiny_gan()
    config = SolverConfig(iterations=iterations, starts=starts, trial_steps=4, pool_size=8, tolerance=None)
    found = invert(gan, torch.zeros(2, 1, 32, 32), config)
    assert found.evaluations.tolist() == [expected] * 2
