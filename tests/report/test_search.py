"""The page of a search: order of the trials, notes, and pictures for a lower and a higher metric."""

import pandas as pd
import pytest

from rgi.report.search import SearchResults, TrialRow, history_figure, short_number, write_search


def trial(number, state, value=None, reason=""):
    return TrialRow(number, state, value, 8, {"solver.iterations": "60"}, 1.5, reason, f"trials/{number:04d}")


TRIALS = [
    trial(0, "finished", 0.8),
    trial(1, "failed", reason="<out> of memory"),
    trial(2, "pruned", 0.1),
    trial(3, "finished", 0.7),
    trial(4, "running"),
]


@pytest.mark.parametrize(("direction", "expected"), [(1, [0, 3, 2, 1, 4]), (-1, [3, 0, 2, 1, 4])])
def test_trials_are_listed_from_the_best_to_the_worst(direction, expected, tmp_path):
    results = SearchResults(
        "rgi on x", "clean/gap", direction, "clean images", "be careful", TRIALS, {"solver.iterations": 1.0}
    )
    page = write_search(tmp_path, results).read_text()
    rows = page[page.index("<tbody>") :].split("<tr")[1:]
    assert [int(row.split("<td>")[1].split("</")[0].rpartition(">")[2]) for row in rows] == expected
    assert "&lt;out&gt; of memory" in page
    assert "be careful" in page
    assert page.count("<svg") == 2
    assert list(pd.read_csv(tmp_path / "table.csv")["state"]) == [each.state for each in TRIALS]
    line = history_figure(results).axes[0].lines[0].get_ydata()
    assert list(line) == ([0.8, 0.8] if direction > 0 else [0.8, 0.7])


def test_a_search_without_a_value_has_a_page(tmp_path):
    page = write_search(tmp_path, SearchResults("x", "clean/gap", -1, "clean images", "", TRIALS[4:], {})).read_text()
    assert "No trial has finished yet" in page
    assert "<svg" not in page


@pytest.mark.parametrize(("text", "short"), [("0.123456789", "0.1235"), ("160", "160"), ("profiled", "profiled")])
def test_numbers_are_short(text, short):
    assert short_number(text) == short
