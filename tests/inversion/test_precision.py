"""Precision and execution of the networks: lower precision, compilation, callers without gradients."""

from functools import partial

import pytest
import torch
from helpers.inversion_cases import COMMON, METHODS, corrupted
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion import weights


def test_results_are_evaluated_in_full_precision():
    """The restored image equals the output of the original generator, although the optimisation used bfloat16."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    for tuned in (False, True):
        config = SolverConfig(iterations=8, precision="bfloat16", tune_generator=tuned, lr_generator=1e-30)
        result = invert(gan, observed, config)
        torch.testing.assert_close(result.restored, gan.generator(result.latent))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_lower_precision_gives_nearly_the_objective_of_float64(precision):
    """One start only, because rounding could change the choice between two equally good starts."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 3)
    double = invert(gan, observed, SolverConfig(**COMMON | {"iterations": 60, "starts": 1}))
    result = invert(gan, observed, SolverConfig(**COMMON | {"iterations": 60, "starts": 1, "precision": precision}))
    assert result.objective.dtype == torch.float32
    tolerance = 0.15 if precision == "bfloat16" else 0.02
    torch.testing.assert_close(result.objective.double(), double.objective, rtol=tolerance, atol=0.0)


@pytest.mark.parametrize("method", ["rgi", "r_rgi"])
def test_a_compiled_network_gives_the_same_result(method, monkeypatch):
    """The backend traces and differentiates the network as on a GPU, but skips the slow code generation."""
    traced = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(weights, "compile_function", lambda function: traced(function, dynamic=False))
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    config = SolverConfig(**COMMON | METHODS[method] | {"starts": 1})
    plain, compiled = (invert(gan, observed, config.replace(compile=compile)) for compile in (False, True))
    torch.testing.assert_close(compiled.restored, plain.restored, atol=1e-8, rtol=0)


def test_the_caller_may_disable_gradients():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    config = SolverConfig(iterations=5)
    plain = invert(gan, observed, config)
    for context in (torch.inference_mode(), torch.no_grad()):
        with context:
            assert invert(gan, observed.clone(), config).latent.equal(plain.latent)
