"""Checks and schedules of the configuration."""

import pytest

from rgi import SolverConfig

WRONG_OPTIONS = {
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


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_OPTIONS.items() for value in values]
)
def test_the_message_names_the_wrong_option(name, value):
    with pytest.raises(ValueError, match=f"solver.{name}="):
        SolverConfig(**{name: value})


def test_betas_come_from_a_configuration_file_as_a_list():
    assert SolverConfig(betas=[0.5, 0.9]).betas == (0.5, 0.9)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_rates_of_the_schedule(schedule):
    config = SolverConfig(schedule=schedule, warmup=4, iterations=100)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.25)
    assert rates[3] == pytest.approx(1.0, abs=0.01)
    assert rates[-1] == (1.0 if schedule == "constant" else pytest.approx(0.0, abs=1e-3))
