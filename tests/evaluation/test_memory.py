"""Peak memory of a piece of work."""

import time

import numpy as np
import pytest
import torch

from rgi.evaluation.memory import PeakMemory


def work(mebibytes: int) -> None:
    """Hold memory for several samples, and release it."""
    held = np.ones(mebibytes * 2**17)
    time.sleep(0.2)
    assert held[-1] == 1


def test_a_later_piece_of_work_has_its_own_peak():
    """Both sizes are far above the allocator's threshold, so freed memory goes back to the operating system."""
    grown = []
    for mebibytes in (400, 0, 200):
        with PeakMemory() as memory:
            work(max(mebibytes, 1))
        grown.append(memory.peak - memory.before)
    assert grown == pytest.approx([400, 0, 200], abs=40)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_memory_of_the_gpu_is_counted_anew():
    device, peaks = torch.device("cuda"), []
    for mebibytes in (400, 200):
        with PeakMemory(device) as memory:
            torch.ones(mebibytes * 2**18, device=device)
        peaks.append(memory.peak - memory.before)
    assert peaks == pytest.approx([400, 200], abs=4)
