"""The page and the table of a search: the history of its trials, the importance of its options, and all trials."""

from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rgi.report.curves import LINE, METHOD_COLOURS, PANEL, SETTINGS, SOFT, to_svg
from rgi.report.formats import MISSING
from rgi.report.templates import load_template

SCORED = ("finished", "pruned")  # states of trials with a value


@dataclass(frozen=True)
class TrialRow:
    """One trial of a search.

    Attributes:
        number: number of the trial, from 0.
        state: finished, pruned, failed, killed, running or waiting.
        value: value of the metric; of a pruned trial, over its first images; None without a value.
        images: number of images of the value.
        options: values of the searched options as text, by name.
        seconds: seconds from the begin to the end.
        reason: why it has failed.
        folder: run folder below the folder of the search; "" without one.
    """

    number: int
    state: str
    value: float | None
    images: int
    options: dict[str, str]
    seconds: float
    reason: str
    folder: str


@dataclass(frozen=True)
class SearchResults:
    """What the page of a search shows.

    Attributes:
        title: heading.
        metric: name of the metric, with its protocol.
        direction: +1 if a higher metric is better, -1 if a lower one is.
        scored: what the scored images are, in words.
        warning: what a reader must know of the metric; empty for nothing.
        trials: all trials.
        importances: share of each option in the spread of the values.
        best: number of the best trial; None without a finished trial.
        command: command that runs the best options.
        experiment: text of the experiment file with the best options.
        options: names of the searched options, in the order of the space.
    """

    title: str
    metric: str
    direction: int
    scored: str
    warning: str
    trials: list[TrialRow]
    importances: dict[str, float]
    best: int | None = None
    command: str = ""
    experiment: str = ""
    options: list[str] = field(default_factory=list)


def write_search(folder: Path, results: SearchResults) -> Path:
    """Write search.html, which loads nothing from elsewhere, and table.csv with one row per trial.

    Args:
        folder: folder of the search.
        results: what the page shows.

    Returns:
        Path of search.html.
    """
    trial_table(results).to_csv(folder / "table.csv", index=False)
    ranked = sorted(results.trials, key=lambda trial: _rank(trial, results.direction))
    with matplotlib.rc_context(SETTINGS):
        history = to_svg(history_figure(results), "history") if any(each.state in SCORED for each in ranked) else ""
        importance = to_svg(importance_figure(results.importances), "importance") if results.importances else ""
    page = folder / "search.html"
    text = load_template("search.html").render(
        results=results,
        ranked=ranked,
        counts=state_counts(results.trials),
        best=next((each for each in ranked if each.number == results.best), None),
        history=history,
        importance=importance,
        finished=sum(each.state == "finished" for each in ranked),
        value_text=value_text,
        short=short_number,
    )
    page.write_text(text, encoding="utf-8")
    return page


def trial_table(results: SearchResults) -> pd.DataFrame:
    """Table of the trials: number, state, value, metric, images, seconds, the options, reason and folder."""
    rows = [
        {
            **{"trial": each.number, "state": each.state, "metric": results.metric, "value": each.value},
            **{"images": each.images, "seconds": round(each.seconds, 2)},
            **each.options,
            **{"reason": each.reason, "folder": each.folder},
        }
        for each in results.trials
    ]
    columns = ["trial", "state", "metric", "value", "images", "seconds", *results.options, "reason", "folder"]
    return pd.DataFrame(rows, columns=columns)


def state_counts(trials: list[TrialRow]) -> str:
    """Text with the number of trials of each state."""
    states = pd.Series([each.state for each in trials], dtype=str).value_counts(sort=False)
    return ", ".join(f"{count} {state}" for state, count in states.items())


def history_figure(results: SearchResults) -> Figure:
    """Value of each trial by its number, and the best value so far. Pruned trials are hollow.

    Args:
        results: results with at least one value.
    """
    figure = Figure(figsize=PANEL, layout="constrained")
    axes = figure.add_subplot()
    of_state = {state: [each for each in results.trials if each.state == state] for state in SCORED}
    numbers, values = ([getattr(each, name) for each in of_state["finished"]] for name in ("number", "value"))
    if numbers:
        running = (np.maximum if results.direction > 0 else np.minimum).accumulate(values)
        axes.step(numbers, running, where="post", color=METHOD_COLOURS[0], linewidth=1.5, label="best so far")
        axes.plot(numbers, values, "o", color=METHOD_COLOURS[0], markersize=6, label="finished")
    if of_state["pruned"]:
        points = [[getattr(each, name) for each in of_state["pruned"]] for name in ("number", "value")]
        label, colour = "pruned, over its first images", METHOD_COLOURS[1]
        axes.plot(*points, "o", color=colour, fillstyle="none", markersize=6, label=label)
    axes.set(xlabel="trial", ylabel=results.metric, xlim=(-0.5, len(results.trials) - 0.5))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.legend(frameon=False, labelcolor=SOFT)
    return _plain(figure)


def importance_figure(importances: dict[str, float]) -> Figure:
    """Bars with the importance of each option.

    Args:
        importances: share of each option in the spread of the values.
    """
    figure = Figure(figsize=(PANEL[0], 0.8 + 0.4 * len(importances)), layout="constrained")
    axes = figure.add_subplot()
    names, shares = list(importances), list(importances.values())
    bars = axes.barh(range(len(names)), shares, color=METHOD_COLOURS[0], height=0.6)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=4, color=SOFT)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.15), xlabel="share of the spread of the values")
    return _plain(figure)


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.grid(axis="y" if axes.get_ylabel() else "x", color=LINE, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelcolor=SOFT)
        axes.spines[:].set_visible(False)
    return figure


def _rank(trial: TrialRow, direction: int) -> tuple[bool, bool, float, int]:
    """Order of the trials on the page: finished ones from the best to the worst, then pruned ones, then the others."""
    value = 0.0 if trial.value is None else -direction * trial.value
    return trial.state != "finished", trial.state != "pruned", value, trial.number


def value_text(value: float | None) -> str:
    """A value with enough digits to tell trials apart."""
    return MISSING if value is None else f"{value:.5g}"


def short_number(text: str) -> str:
    """A number with at most four significant digits, for tables; other text does not change."""
    try:
        return text if len(text) < 7 else f"{float(text):.4g}"
    except ValueError:
        return text
