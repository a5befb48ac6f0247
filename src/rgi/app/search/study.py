"""The study of a search in a file that several workers share, also workers on several machines with a shared folder.

Only task=search imports this module, because optuna is an optional package.
"""

import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from rgi.app import runs
from rgi.app.options import make
from rgi.app.search.search_options import FILES, SearchOptions, leaves
from rgi.errors import InputError
from rgi.report.search import TrialRow
from rgi.validation import typed

ALIVE = ".alive"  # file in a trial's folder; its time says when the worker was last alive
BEAT, SILENCE = 30, 300  # seconds between two beats of a worker, and without a beat until it counts as lost
ATTEMPTS = 3  # highest number of starts of one trial, if its worker is killed each time
RANKED_TRIALS = 4  # lowest number of finished trials for an importance of options
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class Study:
    """A search that several workers share.

    Args:
        cfg: configuration with the group ``search``.
        folder: folder of the search, which has the file of the study and the folders of the trials.
        options: options of the search.
        identity: all that decides the value of a trial, by name; a stored study must have the same.

    Raises:
        InputError: sampler or pruner are wrong, or the file is damaged or has the study of another search.
    """

    def __init__(self, cfg: DictConfig, folder: Path, options: SearchOptions, identity: dict[str, str]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.cfg, self.folder, self.options = cfg, folder, options
        self.space = {name: distribution(values) for name, values in leaves(options.space)}
        pruner = make(cfg, "search.pruner")
        self._sampler(0)  # an error of its options appears here
        file = folder / "study.log"
        with self.door():
            try:
                storage = JournalStorage(JournalFileBackend(str(file), JournalFileOpenLock(str(file))))
                direction = "maximize" if options.direction > 0 else "minimize"
                self.study = optuna.create_study(
                    storage=storage, study_name="search", direction=direction, pruner=pruner, load_if_exists=True
                )
            except (ValueError, LookupError) as error:  # of JSON, or of an entry without its parts
                raise InputError(f"{file}: is damaged ({error}); remove it, or name another output_dir") from error
            stored = self.study.user_attrs.get("identity")
            if stored is None:
                self.study.set_user_attr("identity", identity)
        if stored not in (None, identity):
            names = [name for name in {**stored, **identity} if stored.get(name) != identity.get(name)]
            names = [name for name in names if name != FILES] or names  # its fingerprint has the options in it, too
            raise InputError(
                f"{file}: is the study of another search (different: {', '.join(names[:5])}); name another output_dir"
            )

    def door(self) -> FileLock:
        """A lock for one worker at a time."""
        return FileLock(self.folder / ".door")

    def next_trial(self) -> Trial | None:
        """Begin the next trial, and lock its folder until `runs.close_run`; None if all trials have begun."""
        with self.door():
            self._release_lost()
            count = len([trial for trial in self._kept() if trial.state != TrialState.WAITING])
            if count >= self.options.trials:
                return None
            self.study.sampler = self._sampler(count)
            trial = self.study.ask(self.space)
            if "folder" not in trial.user_attrs:
                trial.set_user_attr("folder", f"trials/{trial.number:04d}")
            folder = self.trial_folder(trial)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ALIVE).touch()
            runs.claim(folder / runs.LOCK, f"{folder}: another process is working in this folder")
            trial.set_user_attr("host", socket.gethostname())
            return trial

    def trial_folder(self, trial: Trial | FrozenTrial) -> Path:
        """The run folder of a trial; a trial that continues a killed one has the same."""
        return self.folder / trial.user_attrs["folder"]

    def finish(self, trial: Trial, value: float | None, state: TrialState, reason: str) -> None:
        """Store the end of a trial.

        Args:
            trial: the trial.
            value: its value; None unless the trial is complete.
            state: its state.
            reason: why it has failed; "" if it has not.
        """
        with suppress(RuntimeError):  # a worker on another machine took this one for lost, and continues the trial
            trial.set_user_attr("reason", reason)
        self.study.tell(trial, value, state, skip_if_finished=True)

    def rows(self) -> list[TrialRow]:
        """All trials for tables and pages."""
        trials = self.study.get_trials(deepcopy=False)
        successors = {trial.user_attrs.get("continues"): trial.number for trial in trials}
        return [_row(trial, successors) for trial in trials]

    def importances(self) -> dict[str, float]:
        """The share of each option in the spread of the values, by fANOVA; empty with too few different values."""
        finished = [trial for trial in self._kept() if trial.state == TrialState.COMPLETE]
        if len(finished) < RANKED_TRIALS or len({trial.value for trial in finished}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            return optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        except RuntimeError:  # no tree has a split, so no option explains anything
            return {}

    def best(self) -> FrozenTrial | None:
        """The best finished trial; None without one."""
        finished = any(trial.state == TrialState.COMPLETE for trial in self.study.get_trials(deepcopy=False))
        return self.study.best_trial if finished else None

    def _sampler(self, trials: int) -> optuna.samplers.BaseSampler:
        """A sampler with a seed for one trial, so that workers, and a search that continues, do not repeat trials."""
        seed = int(np.random.SeedSequence([self.options.seed, trials]).generate_state(1)[0])
        return make(self.cfg, "search.sampler", seed=seed)

    def _kept(self) -> list[FrozenTrial]:
        """All trials without those that another trial continues."""
        trials = self.study.get_trials(deepcopy=False)
        continued = {trial.user_attrs.get("continues") for trial in trials}
        return [trial for trial in trials if trial.number not in continued]

    def _release_lost(self) -> None:
        """Mark the trials of killed workers as failed, and let another trial continue each of them."""
        trials = self.study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state != TrialState.RUNNING or not self._is_lost(trial):
                continue
            self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            folder = trial.user_attrs.get("folder")
            attempts = sum(folder is not None and each.user_attrs.get("folder") == folder for each in trials)
            if attempts < ATTEMPTS:
                self.study.enqueue_trial(
                    trial.params, {"continues": trial.number} | ({"folder": folder} if folder else {})
                )

    def _is_lost(self, trial: FrozenTrial) -> bool:
        """Whether the worker of a running trial is gone: its lock is free, or on another machine it beats no more."""
        host = trial.user_attrs.get("host")
        if host is None:  # killed before it had a folder, because we hold the door
            return True
        folder = self.trial_folder(trial)
        if host == socket.gethostname():
            return _is_free(folder / runs.LOCK)
        clock = self.folder / ".clock"  # the time of the shared folder's server, as for the beats
        clock.touch()
        return not (folder / ALIVE).exists() or clock.stat().st_mtime - (folder / ALIVE).stat().st_mtime > SILENCE


def distribution(values: Any) -> BaseDistribution:
    """The distribution of an option.

    Args:
        values: list of values, or range of numbers, see `rgi.app.search.search_options`.
    """
    if isinstance(values, list):
        return CategoricalDistribution(values)
    numbers = [values["low"], values["high"], values.get("step") or 1]
    log, step = values.get("log", False), values.get("step")
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(values["low"], values["high"], log=log, step=step or 1)
    return FloatDistribution(values["low"], values["high"], log=log, step=step)


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Show workers on other machines that this one is alive, as long as it works in a trial's folder."""
    stopped = Event()

    def beat() -> None:
        while not stopped.wait(BEAT):
            with suppress(OSError):
                (folder / ALIVE).touch()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _is_free(lock: Path) -> bool:
    """Whether no process of this machine holds a lock."""
    try:
        with FileLock(lock, blocking=False):
            return True
    except Timeout:
        return False


def _row(trial: FrozenTrial, successors: dict[int, int]) -> TrialRow:
    facts = trial.user_attrs
    state, reason = STATES[trial.state], facts.get("reason", "")
    if trial.state == TrialState.FAIL and not reason:
        state, reason = "killed", f"{ATTEMPTS} times killed"
        if trial.number in successors:
            reason = f"continued as trial {successors[trial.number]}"
    ended = trial.datetime_complete or trial.datetime_start
    seconds = (ended - trial.datetime_start).total_seconds() if trial.datetime_start else 0.0
    return TrialRow(
        trial.number,
        state,
        trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        max(trial.intermediate_values, default=0),
        {name: typed(value) for name, value in trial.params.items()},
        seconds,
        reason,
        facts.get("folder", ""),
    )
