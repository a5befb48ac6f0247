"""ROC and precision-recall curves, and the counts behind them."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from rgi.report.curves import MAX_POINTS
from rgi.report.histogram import Histogram
from rgi.report.rates import image_levels, rate_figure, rate_plots, rates, thinned

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.random((3, 40, 40)) < 0.2
MAPS = RANDOM.gamma(2, 1, TRUTH.shape) + TRUTH


def histogram(maps=MAPS, truths=TRUTH):
    found = Histogram()
    for anomaly_map, truth in zip(maps, truths, strict=True):
        found.add(anomaly_map, truth)
    return found


def test_curves_of_pixels_have_the_areas_of_scikit_learn():
    """The counts of bins that are 0.05 % wide decide them."""
    curve = rates(histogram().levels())
    assert np.trapezoid(curve.recall, curve.false_positive) == pytest.approx(
        roc_auc_score(TRUTH.ravel(), MAPS.ravel()), abs=1e-4
    )
    area = (np.diff(curve.recall) * curve.precision[1:]).sum()
    assert area == pytest.approx(average_precision_score(TRUTH.ravel(), MAPS.ravel()), abs=1e-3)
    assert curve.positives == pytest.approx(TRUTH.mean())


def test_curves_of_images_are_exact():
    scores = np.array([0.1, 0.4, 0.4, 0.8, np.nan, 0.9])
    levels = image_levels(scores, [False, True, False, True, True, None])
    curve = rates(levels)
    labels, known = [0, 1, 0, 1], scores[:4]
    false_positive, recall, _ = roc_curve(labels, known, drop_intermediate=False)
    assert np.allclose(curve.false_positive, false_positive)
    assert np.allclose(curve.recall, recall)
    precision, recall, _ = precision_recall_curve(labels, known)
    assert np.allclose(curve.precision[1:], precision[-2::-1])


def test_without_one_of_the_classes_there_is_no_curve():
    assert rates(histogram(truths=np.zeros_like(TRUTH)).levels()) is None
    assert rates(histogram(truths=[None] * 3).levels()) is None
    assert rates(image_levels(np.array([1.0, 2.0]), [None, True])) is None
    assert rate_plots("pixels", [histogram(truths=[None] * 3).levels()]) == []
    plots = rate_plots("images", [(np.array([0, 1]), np.array([1, 0])), (np.array([]), np.array([]))])
    assert [plot.title for plot in plots] == ["ROC, images", "Precision and recall, images"]
    assert not set(ids(plots[0].svg)) & set(ids(plots[1].svg))


def ids(svg):
    return [part.partition('"')[0] for part in svg.split(' id="')[1:]]


def test_long_curves_keep_their_shape_and_short_ones_their_points():
    x = np.linspace(0, 1, 5000) ** 8
    y = np.sqrt(x)
    kept = thinned(x, y)
    assert len(kept) <= MAX_POINTS
    assert {0, 4999} <= set(kept)
    assert np.abs(np.interp(x, x[kept], y[kept]) - y).max() < 0.02
    assert thinned(x[:100], y[:100]).tolist() == list(range(100))


def test_a_curve_has_the_colour_of_its_method():
    line = (np.array([0, 1]), np.array([0, 1]))
    _, one, other = rate_figure({1: line, 9: line}, (0, 1)).axes[0].get_lines()
    assert (one.get_color(), one.get_linestyle(), other.get_linestyle()) == (other.get_color(), "-", "--")


def test_values_that_are_not_finite_or_below_zero():
    found = Histogram()
    found.add(np.array([[np.nan, np.inf, -0.0], [2.0, 0.0, -1.0]], np.float32), np.array([[1, 1, 1], [1, 0, 0]], bool))
    positives, negatives = found.levels()
    assert (positives.tolist(), negatives.tolist()) == ([1, 1], [2, 0])
    assert found.highest == 2
