"""Trials: a command is killed at random moments, typed again, and compared with an uninterrupted run."""

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.killed_commands import Case
from helpers.killing import OUTPUT, End, Kill, run_command
from helpers.same_results import differences

SIGNALS = (*[signal.SIGKILL] * 6, signal.SIGTERM, signal.SIGINT)  # with their shares
AGAIN = 1 / 3  # share of the trials in which the second run is killed, too
ALONE = 1 / 3  # share of the kills of two processes that hit only one


@dataclass(frozen=True)
class Verdict:
    """The outcome of a trial.

    Attributes:
        lines: what happened, one line for each kill.
        faults: what was lost, left over or different; empty for a passed trial.
        late: whether the run was already finished at its last kill.
    """

    lines: list[str]
    faults: list[str]
    late: bool = False


class Trials:
    """Trials of commands. The uninterrupted run of each command is made before its first trial.

    Args:
        home: folder with images and generator of the commands, and for the working folders.
        seed: seed of all moments and signals.
    """

    def __init__(self, home: Path, seed: int) -> None:
        self.home, self.seed = home, seed
        self.whole: dict[str, End] = {}

    def reference(self, case: Case) -> Path:
        """Working folder of the uninterrupted run."""
        folder = self.home / case.name.replace(" ", "_")
        if case.name not in self.whole:
            case.prepare(self.home, folder)
            end = self.whole[case.name] = run_command(folder, case.arguments)
            if end.status != 0 or len([*folder.rglob("metrics.json")]) != case.runs:
                raise RuntimeError(f"{case.name}: status {end.status}\n{(folder / OUTPUT).read_text()}")
        return folder

    def at_random(self, case: Case, number: int) -> Verdict:
        """Kill a command once or twice at random moments; seed, command and number decide them."""
        rng = random.Random(f"{self.seed} {case.name} {number}")
        times = 2 if rng.random() < AGAIN else 1
        return self.run(case, str(number), lambda left: self.moment(case, left, rng), times)

    def run(self, case: Case, name: str, choose: Callable[[End], Kill], times: int = 1) -> Verdict:
        """Kill a command, let it end, and compare.

        Args:
            case: command.
            name: ending of the working folder's name.
            choose: function from the expected end of the next run to its kill.
            times: number of kills, unless a run ends before.
        """
        expected = self.reference(case)
        folder = self.home / f"{case.name.replace(' ', '_')}-{name}"
        case.prepare(self.home, folder)
        lines, faults, left, late = [], [], self.whole[case.name], False
        for _ in range(times):
            kill = choose(left)
            lines.append(f"{kill}: ")
            try:
                # An orphan of a benchmark may go on: the next run must cope with it.
                end = run_command(folder, case.arguments, kill, wait=not case.orphans)
            except TimeoutError as error:
                return Verdict(lines, [str(error)])
            if kill.whom == "all" and end.status not in (0, -kill.number, 128 + kill.number):
                faults.append(f"status {end.status} after {kill}\n{_tail(folder)}")
            lines[-1] += f"status {end.status} after {end.seconds:.2f} s"
            late = end.status == 0 or case.is_finished(folder)
            if late:
                lines[-1] += ", was finished"
                break
            left = End(0, max(0, left.seconds - end.seconds), max(1, left.operations - end.operations))
        else:
            faults += self._end(case, folder)
        faults += differences(expected, folder)
        if not faults:
            shutil.rmtree(folder)
        return Verdict(lines, faults, late)

    @staticmethod
    def moment(case: Case, whole: End, rng: random.Random) -> Kill:
        """A random kill: half of them at a random time, half at a random operation on files."""
        number = rng.choice(SIGNALS)
        whom = rng.choice(("first", "second")) if case.processes > 1 and rng.random() < ALONE else "all"
        if case.orphans and rng.random() < ALONE:
            whom = "first"
        if rng.random() < 1 / 2:
            return Kill(number, seconds=rng.uniform(0, whole.seconds), whom=whom)
        return Kill(number, operation=rng.randint(1, whole.operations), whom=whom)

    @staticmethod
    def _end(case: Case, folder: Path) -> Iterator[str]:
        """Type the command again, and let it end."""
        try:
            end = run_command(folder, case.arguments)
        except TimeoutError as error:
            yield str(error)
        else:
            if end.status != 0:
                yield f"the same command ends with status {end.status}\n{_tail(folder)}"


def _tail(folder: Path) -> str:
    """The last lines that the runs printed."""
    return "\n".join((folder / OUTPUT).read_text().splitlines()[-8:])
