"""Two processes with half of the batch each take the step that one takes with all of it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.joint_steps import FLAVOURS, STEPS

SCRIPT = Path(__file__).parents[1] / "helpers" / "joint_steps.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder with the weights of every process, of trainings by one and by two."""
    folder = tmp_path_factory.mktemp("joint")
    for processes in ("1", "2"):
        command = [sys.executable, str(SCRIPT), processes, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_step_of_two_processes_is_that_of_one(flavour, trained):
    """Over gloo, in float64, with the same images and random numbers: to 1e-10 after four steps, averages included."""
    one, first, second = (
        torch.load(trained / f"{flavour}_{processes}_{rank}.pt", weights_only=True)
        for processes, rank in ((1, 0), (2, 0), (2, 1))
    )
    assert one.keys() == first.keys()
    for name, value in one.items():
        assert first[name].equal(second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-10, atol=1e-10, msg=name)
    assert int(one["average.n_averaged"]) - (flavour == "growing") == STEPS
