"""The grid of the histogram of scores."""

import pytest
import torch

from rgi.metrics import bins
from rgi.metrics.standard import PixelCurve

LARGEST = torch.finfo(torch.float32).max


def test_zero_has_its_own_bin_and_bins_keep_the_order():
    tiny = torch.tensor(0.0).nextafter(torch.tensor(1.0))
    inner = torch.cat([torch.logspace(-45, 38, 50_000, dtype=torch.float64).float(), 2.0 ** torch.arange(-148, 128)])
    score = torch.cat([torch.tensor([-0.0, 0.0, tiny]), inner.sort().values, torch.tensor([LARGEST, torch.inf])])
    index = bins.bin_index(score)
    assert index[:2].tolist() == [0, 0]
    assert (index[2:] > 0).all()
    assert (index.diff() >= 0).all()
    assert index[-1] == bins.BINS - 1 > index[-2]


@pytest.mark.parametrize(("octaves", "width"), [((-40, 16), 2.0**-16), ((-126, -40), 2.0**-9), ((16, 127), 2.0**-9)])
def test_bins_are_narrow_in_every_octave(octaves, width):
    score = torch.logspace(octaves[0] + 0.01, octaves[1] - 0.01, 10_000, base=2, dtype=torch.float64).float()
    assert (bins.bin_index(score * (1 + width)) > bins.bin_index(score)).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 300.0, 1e6, 1e30])
def test_the_scale_of_the_scores_does_not_matter(scale):
    """Scores of PaDiM may be in the thousands; a perfect separation stays perfect."""
    curve = PixelCurve()
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    curve.update(scale * (1 + 2 * mask[:, 0]), mask)
    scores = curve.compute()
    assert scores["pixel_auroc"] == 1
    assert scores["pixel_auroc_error"] == 0
