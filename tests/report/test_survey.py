"""What a report knows of all images before it draws the first."""

import numpy as np
from helpers.report_page import results_of

from rgi.evaluation.results import save_result
from rgi.report.histogram import Histogram
from rgi.report.survey import survey

SIZES = [(4, 6), (5, 3)]


def test_pixels_outside_the_region_are_left_out(tmp_path):
    random, inside = np.random.default_rng(0), Histogram()
    for number, size in enumerate(SIZES):
        heat, truth = random.random(size, np.float32), random.random(size) > 0.5
        region = np.zeros((1, *size), np.float32)
        region[0, :, 1:] = 1
        arrays = {"observed": random.random((1, *size), np.float32), "map": heat * region[0]}
        save_result(
            tmp_path / "rgi", str(number), arrays | {"truth": truth[None].astype(np.float32), "counted": region}
        )
        inside.add(heat[:, 1:], truth[:, 1:])
    found = survey([results_of("rgi", [{"name": "0"}, {"name": "1"}], folder=tmp_path)])
    assert np.array_equal(found.histograms[0].counts, inside.counts)
    assert found.size is None
    alone = survey([results_of("rgi", [{"name": "0"}], folder=tmp_path)])
    assert alone.size == (6, 4)
