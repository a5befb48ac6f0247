"""Speed benchmark of the training: the plain training takes the same steps as our training."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

SPEED = Path(__file__).parents[1] / "experiments" / "speed"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def speed():
    """Function that imports a module of experiments/speed by name. The modules are unloaded after the tests."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SPEED))
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == SPEED:
            del sys.modules[name]


def test_plain_training_equals_our_training(speed, monkeypatch):
    """Losses, weights and averaged weights are equal after three steps in float32."""
    training = speed("training")
    monkeypatch.setattr(training, "native_bfloat16", lambda _: False)
    ours = training.OurTraining(2, [8, 8, 4, 4, 4, 4], CPU)
    plain = training.PlainTraining(ours)
    real = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for _ in range(3):
        ours.step(real)
        plain.step(real)
    assert len(ours.values) == len(plain.values) == 6
    torch.testing.assert_close(plain.values, ours.values, rtol=1e-4, atol=1e-4)
    pairs = ((plain.generator, ours.generator), (plain.critic, ours.critic), (plain.average, ours.average.module))
    for theirs, network in pairs:
        for name, parameter in network.named_parameters():
            # For gradients near 0, rounding determines the sign of Adam's step, but the step has full length.
            torch.testing.assert_close(theirs.get_parameter(name), parameter, rtol=0, atol=2e-3, msg=name)
            assert (theirs.get_parameter(name) - parameter).abs().mean() < 1e-4, name


def test_operations_of_a_training_step(speed):
    """A step costs as much as eighteen forward passes of one network."""
    training = speed("training")
    macs = 16 * 6.384e9  # of the paper's generator at 32 pixels; the critic has as many
    assert training.step_work(3, None) == pytest.approx(18 * 2 * macs, rel=0.02)


def test_rows_of_other_cases_are_kept(speed):
    table = speed("table")
    old = [table.Row(case, 1, "ours", "step_seconds", 1.0, "s") for case in ("a", "b")]
    new = [table.Row("b", 1, "ours", "other", 2.0, "s")]
    assert table.merge_rows(old, new) == [old[0], new[0]]
