"""The number of images per batch."""

from types import SimpleNamespace

import psutil
from helpers.inversion_cases import corrupted
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig
from rgi.inversion.memory import images_at_once
from rgi.inversion.problem import Problem


def test_less_free_memory_gives_smaller_batches(monkeypatch):
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)

    def at_once(free: int, **changes) -> int:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
        return images_at_once(Problem(gan, observed, SolverConfig(**changes), None))

    assert at_once(2**40) == 32
    assert at_once(1) == 1
    free = 2**24
    counts = [at_once(free, starts=1), at_once(free), at_once(free, tune_generator=True)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]
