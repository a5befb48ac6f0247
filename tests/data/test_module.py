"""Training batches are a function of seed and step."""

from itertools import chain

import pytest

from rgi.data.module import StepBatches


def test_a_resumed_sequence_goes_on_where_it_stopped():
    whole = list(StepBatches(10, 4, steps=20, seed=3))
    assert list(StepBatches(10, 4, steps=20, start=7, seed=3)) == whole[7:]
    assert list(StepBatches(10, 4, steps=20, seed=4)) != whole


def test_every_image_is_seen_equally_often():
    seen = list(chain.from_iterable(StepBatches(10, 4, steps=25, seed=0)))
    assert sorted(seen) == sorted(list(range(10)) * 10)
    assert all(len(set(seen[i : i + 10])) == 10 for i in range(0, 100, 10))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_one_sequence(world):
    """The slices of all processes, joined, are the batches of one process with the joint batch size."""
    parts = [StepBatches(12, 4, steps=6, seed=1, rank=rank, world=world) for rank in range(world)]
    joint = [list(chain.from_iterable(batches)) for batches in zip(*parts, strict=True)]
    assert joint == list(StepBatches(12, 4 * world, steps=6, seed=1))
