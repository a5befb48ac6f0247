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


@pytest.mark.parametrize("method", ["rgi", "r_rgi"])
@pytest.mark.parametrize("context", ["autocast", "default dtype", "threads"])
def test_the_settings_of_the_caller_change_nothing(context, method):
    """Autocast and the default type change no bit; another number of threads may change the order of sums."""
    config = SolverConfig(**COMMON | METHODS[method] | {"precision": "float32"})
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    observed = observed.float()
    plain = invert(gan, observed, config)
    for network in (gan.generator, gan.critic):  # forget what is stored once per GAN
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        if context == "autocast":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                result = invert(gan, observed, config)
        elif context == "default dtype":
            torch.set_default_dtype(torch.float64)
            result = invert(gan, observed, config)
        else:
            torch.set_num_threads(threads + 1)
            result = invert(gan, observed, config)
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
    assert result.restored.dtype == torch.float32
    tolerance = 1e-4 if context == "threads" else 0.0
    torch.testing.assert_close(result.restored, plain.restored, atol=tolerance, rtol=0.0)
    if method == "rgi":
        torch.testing.assert_close(result.restored, gan.generator(result.latent))


def test_the_caller_may_disable_gradients():
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    config = SolverConfig(iterations=5)
    plain = invert(gan, observed, config)
    for context in (torch.inference_mode(), torch.no_grad()):
        with context:
            assert invert(gan, observed.clone(), config).latent.equal(plain.latent)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nflags\t\t: avx512_bf16", True),
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nflags\t\t: avx512_bf16", False),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 26", False),
        ("CPU implementer\t: 0x41\nCPU architecture: 8", False),
        (None, False),
    ],
)
def test_a_zen_5_is_known_by_its_family(facts, expected, tmp_path):
    """Zen 4 multiplies bfloat16, too, but not faster."""
    file = tmp_path / "cpuinfo"
    if facts is not None:
        file.write_text(f"processor\t: 0\n{facts}\n\nprocessor\t: 1\n{facts}\n")
    assert weights.is_zen5(file) == expected
