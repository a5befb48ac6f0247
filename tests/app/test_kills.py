"""Runs that are killed at random moments end with the numbers of uninterrupted runs; ``make kill-check`` kills more."""

import random
import signal

import pytest
from helpers.kill_trials import Trials
from helpers.killed_commands import Case, cases, write_home
from helpers.killing import Kill, start_server

KILLS = {"pretrain compact": 1, "encode": 4, "calibrate": 1, "rgi": 1}


@pytest.fixture(scope="module")
def trials(tmp_path_factory) -> Trials:
    """Trials with other moments in each session; a failure shows the seed."""
    home = tmp_path_factory.mktemp("home")
    write_home(home)
    start_server()
    return Trials(home, seed=random.SystemRandom().randrange(10**6))


def command(trials: Trials, name: str) -> Case:
    return next(case for case in cases(trials.home) if case.name == name)


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_run_ends_with_the_same_numbers(name, trials):
    killed, number = 0, 0
    while killed < KILLS[name]:
        verdict = trials.at_random(command(trials, name), number)
        assert not verdict.faults, (f"python tests/kill_check.py --seed {trials.seed} --only '{name}'", verdict)
        killed, number = killed + len(verdict.lines), number + 1


@pytest.mark.parametrize("before_last", [2, 0])
def test_a_training_that_is_killed_while_it_writes_the_generator_is_finished_later(before_last, trials):
    """Before the new card replaces the old one, and before metrics.json marks the training as finished."""
    verdict = trials.run(
        command(trials, "pretrain compact"),
        f"last-{before_last}",
        lambda left: Kill(signal.SIGKILL, operation=left.operations - before_last),
    )
    assert not verdict.faults, verdict
    assert not verdict.late
