"""make kill-check: real runs are killed at random moments, and must end with the numbers of uninterrupted runs.

Each trial starts a command in a folder of its own, kills it once or twice, and lets the same command end. Scores, rows,
arrays and weights must then be equal to those of an uninterrupted run, and no other files may be left.
"""

import argparse
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from helpers.kill_trials import Trials
from helpers.killed_commands import cases, write_home
from helpers.killing import start_server
from tqdm import tqdm


def main() -> None:
    """Run trials until enough runs were killed; exits with status 1 if a trial has failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="number of kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of all moments; the same seed repeats a failure")
    parser.add_argument("--only", default="", help="words in the names of the commands to kill, such as rgi")
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first trial of each command")
    given = parser.parse_args()
    started, failed, killed, late = time.perf_counter(), 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        write_home(home)
        start_server()
        trials = Trials(home, given.seed)
        chosen = [case for case in cases(home) if given.only in case.name]
        if not chosen:
            sys.exit(f"error: --only={given.only}: no such command; see tests/helpers/killed_commands.py")
        print(f"seed {given.seed}, {given.kills} kills of {len(chosen)} commands", flush=True)
        rounds = ((case, number) for number in count(given.first) for case in chosen if number % case.rounds == 0)
        with tqdm(total=given.kills, unit="kill") as bar:
            for case, number in rounds:
                verdict = trials.at_random(case, number)
                failed, late = failed + bool(verdict.faults), late + verdict.late
                for line in verdict.lines:
                    killed += 1
                    bar.write(f"{killed:4d}  {case.name} {number}: {line}")
                bar.write("      " + ("FAIL: " + "\n      ".join(verdict.faults) if verdict.faults else "PASS"))
                bar.update(len(verdict.lines))
                if killed >= given.kills:
                    break
    print(f"{killed} kills in {time.perf_counter() - started:.0f} s, {late} of them after the end of the work")
    print(f"FAIL: {failed} trials" if failed else "PASS")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
