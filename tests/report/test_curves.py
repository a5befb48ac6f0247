"""Convergence figure: values of the curves, axes, and colours."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from rgi.report.curves import convergence, convergence_figure, quartiles

NAN = np.nan


def test_settled_images_keep_their_last_objective():
    histories = [np.array([8.0, 4, 2, 1, 0.5]), np.array([9.0, 5, NAN, NAN, NAN]), np.array([7.0, 6])]
    table = quartiles(histories)
    assert table["median"].tolist() == [8, 5, 5, 5, 5]
    settled = np.array([[8, 4, 2, 1, 0.5], [9, 5, 5, 5, 5], [7, 6, 6, 6, 6]])
    assert np.array_equal(table.to_numpy().T, np.quantile(settled, (0.25, 0.5, 0.75), axis=0))


def test_images_without_an_objective_are_left_out():
    finite = np.array([3.0, 2.0])
    assert quartiles([finite, np.array([NAN, 9.0])])["median"].tolist() == [3, 2]
    for histories in ([], [np.array([5.0])], [np.array([NAN, NAN])]):
        assert quartiles(histories) is None
        assert convergence(["a"], [histories]) is None
        assert [curve.label for curve in convergence(["a", "b"], [histories, [finite]]).curves] == ["b"]


@pytest.mark.parametrize("offset", [0.5, -50.0])
@pytest.mark.parametrize("length", [2, 3, 9, 5000])
def test_curves_fill_the_axes_and_ticks_are_readable(length, offset):
    table = quartiles([np.geomspace(1e4, 1, length) + offset, np.full(max(2, length // 2), 30.0)])
    (axes,) = convergence_figure({1: table}, offset > 0).axes
    (line,), (band,) = axes.get_lines(), axes.collections
    assert len(line.get_xdata()) == min(length, 240)
    steps = line.get_xdata()
    assert axes.get_xlim() == (steps[0], steps[-1]) == (0, length - 1)
    assert np.array_equal(line.get_ydata(), table["median"].iloc[steps])
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners >= {(step, table[side][step]) for step in steps for side in ("lower", "upper")}
    low, high = axes.get_ylim()
    assert low < table["lower"].min() < table["upper"].max() < high
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, (low, high))):
        shown = [at for at in axis.get_majorticklocs() if limits[0] <= at <= limits[1]]
        texts = axis.get_major_formatter().format_ticks(shown)
        assert 2 <= len(set(texts) - {""}) == len(texts) <= 12


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [([100.0, 10.0, 1.0], True), ([3.0, 2.0, 0.0], False), ([3.0] * 4, True), ([0.0, 0.0], False)],
)
def test_the_axis_is_logarithmic_if_all_values_are_positive(values, logarithmic):
    figure = convergence(["a"], [[np.array(values)]])
    assert figure.logarithmic == logarithmic
    assert ("logarithmic" in figure.svg) == logarithmic
    assert figure.svg.count('id="convergence-ytick_') >= 2
    (curve,) = figure.curves
    assert (curve.first, curve.last, curve.iterations) == (values[0], values[-1], len(values))


def test_the_figure_has_the_colours_of_the_page():
    """Fixed colours would be invisible on a dark or a light page."""
    labels = [f"method {number}" for number in range(9)]
    histories = [[np.array([9.0, 5.0, number + 1])] for number in range(9)]
    figure = convergence(labels, [[], *histories[1:]])
    assert [(curve.index, curve.label) for curve in figure.curves] == list(enumerate(labels))[1:]
    used = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", figure.svg)) - {"none"}
    assert used == {*(f"var(--m{index})" for index in range(8)), "var(--soft)", "var(--line)"}
    assert figure.svg.count("stroke-dasharray") == 1  # the ninth method


def test_equal_histories_give_equal_svg_text():
    """The SVG is well-formed, has no date, and has no style rule for the rest of the page."""
    histories = [[np.geomspace(90, 3, 7)], [np.geomspace(50, 1, 9)]]
    one, other = (convergence(["a", "b"], histories).svg for _ in range(2))
    assert one == other
    assert ElementTree.fromstring(one).tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"<dc:|<!|<\?|[^t] \*\{", one)
