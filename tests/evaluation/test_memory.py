"""Peak memory of a piece of work."""

import mmap
import time

import pytest
import torch

from rgi.evaluation.memory import PeakMemory


def work(mebibytes: int) -> None:
    """Hold memory until it was sampled, and give it back: an allocator might keep what it frees."""
    with mmap.mmap(-1, mebibytes * 2**20) as held:
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        time.sleep(0.5)


def test_a_later_piece_of_work_has_its_own_peak():
    grown = []
    for mebibytes in (400, 1, 200):
        with PeakMemory() as memory:
            work(mebibytes)
        grown.append(memory.peak - memory.before)
    assert grown == pytest.approx([400, 1, 200], abs=40)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_memory_of_the_gpu_is_counted_anew():
    device, peaks = torch.device("cuda"), []
    for mebibytes in (400, 200):
        with PeakMemory(device) as memory:
            torch.ones(mebibytes * 2**18, device=device)
        peaks.append(memory.peak - memory.before)
    assert peaks == pytest.approx([400, 200], abs=4)
