"""The number of images per batch, and what happens if the memory does not suffice."""

import logging
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from helpers.inversion_cases import COMMON, METHODS, corrupted
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.inversion import memory
from rgi.inversion.memory import free_memory, images_at_once
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


def test_copies_of_the_weights_are_counted_where_they_are_made(monkeypatch):
    """There is one for each start that is left: all of them with warm moments, half of them late in the trial."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**25))
    tuned = SolverConfig(tune_generator=True, starts=4, trial_steps=20, iterations=100)
    late = images_at_once(Problem(gan, observed, tuned.replace(warm_moments=False, tune_from=20), None))
    early = images_at_once(Problem(gan, observed, tuned.replace(warm_moments=False, tune_from=10), None))
    warm = images_at_once(Problem(gan, observed, tuned.replace(warm_moments=True, tune_from=20), None))
    assert warm < early < late


def test_only_weights_that_move_are_counted():
    gan = tiny_gan("pca")
    observed = torch.zeros(1, 1, 16, 16)
    ours = SolverConfig(tune_generator=True, warm_moments=False, tune_from=60, starts=1, precision="float32")
    mean, every, none = (
        memory.bytes_per_image(Problem(gan, observed, config, None))
        for config in (ours, ours.replace(schedule="constant"), ours.replace(tune_generator=False))
    )
    assert every - none == (gan.card.latent_dim + 1) * (mean - none) > 0


@pytest.mark.parametrize(("limit", "usage", "free"), [("1000", "400", 600), ("1000", "1200", 0), ("max", "400", 5000)])
def test_the_limit_of_a_container_counts(limit, usage, free, tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    files = tmp_path / "limit", tmp_path / "usage"
    for file, text in zip(files, (limit, usage), strict=True):
        file.write_text(f"{text}\n")
    monkeypatch.setattr(memory, "CONTAINER_FILES", [files, (Path("nowhere"), Path("nowhere"))])
    assert free_memory(torch.device("cpu")) == free


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_half_of_the_images_are_tried_again(error, monkeypatch, caplog):
    """The memory suffices for two images in step 3; the result and the progress are those of an uninterrupted run."""
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 5)
    config = SolverConfig(**COMMON | METHODS["r_rgi"])
    expected = invert(gan, observed, config)
    sizes, steps = [], []
    evaluate, taken = Problem.evaluate, [0]

    def limited(self: Problem, image: torch.Tensor, *arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        if image.requires_grad:  # a step, and not the choice of the start or the result
            taken[0] += 1
            if taken[0] == 4:
                sizes.append(len(image) // config.starts)
                if sizes[-1] > 2:
                    taken[0] = 0
                    raise error
            if taken[0] == config.iterations:
                taken[0] = 0
        return evaluate(self, image, *arguments)

    monkeypatch.setattr(Problem, "evaluate", limited)
    with caplog.at_level(logging.WARNING):
        result = invert(gan, observed, config, on_step=steps.append)
    assert sizes == [5, 2, 2, 1]
    assert sum(steps) == expected.iterations.sum()
    torch.testing.assert_close(result.restored, expected.restored, atol=1e-10, rtol=0.0)
    assert caplog.messages == ["5 images at once did not fit into memory; trying half of them"]


def test_other_errors_and_single_images_are_not_tried_again(monkeypatch):
    gan = tiny_gan()
    observed, _, _ = corrupted(gan, 2)
    for error, images in ((RuntimeError("a bug"), 2), (MemoryError("no room"), 1)):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("rgi.inversion.optimisation.Adam.step", fail)
        with pytest.raises(type(error), match=str(error)):
            invert(gan, observed[:images], SolverConfig(iterations=3))
