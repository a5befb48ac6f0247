"""The sentence that a run prints about its scores."""

from math import nan

import pytest

from rgi.app.record import comparison


@pytest.mark.parametrize(
    ("scores", "restored", "sentence"),
    [
        ({"anogan": 0.922, "rgi": 0.908, "r_rgi": 0.9291}, False, "R-RGI finds the defects best: pixel AUROC 0.929 "),
        ({"rgi": nan, "pan_masked": 27.44, "yeh": 12.3}, True, "Pan et al., mask given restores best: PSNR 27.4 (Yeh"),
        ({"rgi": 0.9}, False, ""),
        ({"rgi": nan, "anogan": nan}, False, ""),
        ({"rgi": 0.9, "anogan": nan}, False, ""),
    ],
)
def test_methods_are_compared_by_their_main_score(scores, restored, sentence):
    metric = "psnr" if restored else "pixel_auroc"
    found = comparison({method: {f"standard/{metric}": value} for method, value in scores.items()}, restored)
    assert found.startswith(sentence)
    assert bool(found) == bool(sentence)
