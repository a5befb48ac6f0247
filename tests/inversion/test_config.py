"""The configuration of a method: what each field takes and refuses, and the schedules."""

import ast
import copy
import dataclasses
import inspect
import math
import re
from itertools import pairwise
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from omegaconf import OmegaConf

from rgi import SolverConfig
from rgi.errors import InputError
from rgi.validation import typed

FIELDS = get_type_hints(SolverConfig, include_extras=True)
OUT_OF_RANGE = {
    "mask_closing": [-0.1, 1],
    "mask_hold": [-0.1, 1],
    "mask_penalty": [-1, 0, "much"],
    "clean_quantile": [-0.1, 1.0],
    "hold_quantile": [-0.1, 1.0],
    "freeze_mask_from": [-1],
    "tune_from": [-1],
    "critic_weight": [-1],
    "latent_weight": [-1],
    "lr_latent": [0, -1],
    "lr_mask": [0],
    "lr_generator": [0],
    "betas": [(0.9,), (0.9, 1.0), (-0.1, 0.9), (0.1, 0.2, 0.3), "ab", (0.9, True)],
    "warmup": [-1],
    "iterations": [0],
    "tolerance": [-0.1],
    "continuation": [0.5],
    "pool_size": [0],
    "starts": [0],
    "trial_steps": [0],
}
WORDS = {name: get_args(annotation) for name, annotation in FIELDS.items() if get_origin(annotation) is Literal}
OF_ANOTHER_TYPE = ["nonsense", 1.5 + 1j, [], {}, math.nan, math.inf, np.bool_(True), np.float32(0.5), b"l2"]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OUT_OF_RANGE.items() for value in values]
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=rf"^solver\.{name}={re.escape(typed(value))}: must be "):
        SolverConfig(**{name: value})


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_refuses_other_types(name):
    """NaN and infinity among them; a truth value is no number, 1 is none, and null is allowed only where said so."""
    default = getattr(SolverConfig(), name)
    others = [*OF_ANOTHER_TYPE, 1 if isinstance(default, bool) else True]
    if type(default) is int or name == "freeze_mask_from":
        others += [1.0, np.int64(3)]
    if name not in ("freeze_mask_from", "mask_closing", "mask_hold", "tolerance"):
        others.append(None)
    for value in others:
        with pytest.raises(InputError, match=rf"^solver\.{name}=.*: must be "):
            SolverConfig(**{name: value})


@pytest.mark.parametrize("name", WORDS)
def test_words_are_listed(name):
    for word in WORDS[name]:
        assert getattr(SolverConfig(**{name: word}), name) == word
    with pytest.raises(InputError, match=f"^solver.{name}=l3: must be one of {', '.join(WORDS[name])}$"):
        SolverConfig(**{name: "l3"})


def test_unknown_fields_are_refused():
    known = ", ".join(FIELDS)
    for make in (SolverConfig, SolverConfig().replace):
        with pytest.raises(InputError, match=f"^solver.colour: no such option; use one of {known}$"):
            make(colour="red")


def test_a_configuration_is_a_frozen_dataclass():
    config = SolverConfig(lr_latent=1, mask_penalty=np.float64(0.5))
    assert (config.lr_latent, config.mask_penalty) == (1.0, 0.5)
    assert SolverConfig(**dataclasses.asdict(config)) == config == copy.deepcopy(config)
    assert config.replace(lr_latent=0.3, mask_penalty=0.1) == SolverConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lr_latent = 2.0
    with pytest.raises(InputError, match=r"solver\.starts=0"):
        config.replace(starts=0)


def test_every_field_is_documented():
    """By a text directly below it."""
    (kind,) = ast.parse(inspect.getsource(SolverConfig)).body
    for field, text in pairwise(kind.body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(text.value.value, str), field.target.id


def test_betas_come_from_a_configuration_file_as_a_list():
    for betas in ([0, 0.9], OmegaConf.create([0, 0.9])):
        assert SolverConfig(betas=betas).betas == (0.0, 0.9)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_schedule(schedule):
    config = SolverConfig(schedule=schedule, warmup=4, iterations=100)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.25)
    assert rates[3] == pytest.approx(1.0, abs=0.01)
    assert rates[-1] == (1.0 if schedule == "constant" else pytest.approx(0.0, abs=1e-3))


def test_a_generator_that_would_never_be_tuned_is_refused():
    with pytest.raises(
        InputError, match=r"^solver\.tune_from=100: must be below solver\.iterations=100, or the generator"
    ):
        SolverConfig(tune_generator=True, tune_from=100)
    with pytest.raises(InputError, match=r"^solver\.tune_from=60: must be below solver\.iterations=60"):
        SolverConfig(tune_generator=True, tune_from=60).replace(iterations=60)
    assert SolverConfig(tune_from=100).tune_from == 100  # not used without tune_generator
