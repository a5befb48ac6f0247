"""The grid of the histogram of scores."""

import torch

from rgi.metrics import bins


def test_zero_has_its_own_bin_and_bins_keep_the_order():
    tiny = torch.tensor(0.0).nextafter(torch.tensor(1.0))
    score = torch.cat([torch.tensor([-0.0, 0.0, tiny, 1e-30, 2.0**-40]), torch.logspace(-13, 3, 5000)])
    index = bins.bin_index(torch.cat([score, torch.tensor([float("inf")])]))
    assert index[:2].tolist() == [0, 0]
    assert (index[2:] > 0).all()
    assert (index.diff() >= 0).all()
    assert index[-1] == bins.BINS - 1


def test_bins_are_narrow_over_all_octaves():
    score = torch.logspace(-39.99, 7.99, 10000, base=2)
    wider = score * (1 + 2.0**-16)
    assert (bins.bin_index(wider) > bins.bin_index(score)).all()
