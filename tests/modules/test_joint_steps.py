"""Two processes with half of the batch each take the step that one takes with all of it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from joint_steps import FLAVOURS, STEPS

SCRIPT = Path(__file__).parent / "joint_steps.py"


def train(flavour: str, processes: int, folder: Path) -> list[dict[str, torch.Tensor]]:
    """The weights of every process."""
    command = [sys.executable, str(SCRIPT), flavour, str(processes), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    files = [folder / f"{flavour}_{processes}_{rank}.pt" for rank in range(processes)]
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_step_of_two_processes_is_that_of_one(flavour, tmp_path):
    """Over gloo, in float64, with the same images and random numbers: to 1e-10 after four steps, averages included."""
    (one,) = train(flavour, 1, tmp_path)
    first, second = train(flavour, 2, tmp_path)
    assert one.keys() == first.keys()
    for name, value in one.items():
        assert first[name].equal(second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-10, atol=1e-10, msg=name)
    assert int(one["average.n_averaged"]) - (flavour == "growing") == STEPS
