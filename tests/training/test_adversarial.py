"""What every training of a GAN does: average, draw by step, stop at NaN, go on from a file."""

import errno
import math
import re

import pytest
import torch
from helpers.small_training import SIZES, small_training
from helpers.steps import Steps
from pytorch_lightning.plugins.io import TorchCheckpointIO

from rgi import SolverConfig, invert
from rgi.errors import InputError
from rgi.generators.store import Card
from rgi.training.adversarial import AtomicCheckpoints, read_checkpoint
from rgi.training.small_data import SmallDataTraining
from rgi.validation import typed


def test_latents_depend_on_seed_step_and_process_alone(monkeypatch):
    drawn = []
    for seed, rank, step in ((0, 0, 7), (0, 0, 7), (0, 0, 8), (1, 0, 7), (0, 1, 7)):
        training = small_training(seed=seed)
        Steps(training, monkeypatch).done = step
        monkeypatch.setattr(type(training), "global_rank", rank, raising=False)
        drawn.append(training.latents(4, training.random(training.steps_done)))
    assert drawn[0].equal(drawn[1])
    assert all(not drawn[0].equal(other) for other in drawn[2:])


def test_average_follows_the_generator(monkeypatch):
    """The averaged weights are the exponential moving average of the trained ones."""
    training = small_training()
    steps, real = Steps(training, monkeypatch), torch.rand(8, 1, 32, 32) - 0.5
    expected = None
    for _ in range(4):
        steps.run(real)
        now = training.generator.to_image.weight.detach().clone()
        expected = now if expected is None else 0.9 * expected + 0.1 * now
    torch.testing.assert_close(training.average.module.to_image.weight, expected)


def test_a_step_under_autocast_uses_the_weights_as_they_are(monkeypatch):
    """PyTorch keeps bfloat16 copies of weights while an autocast lasts; ours takes both half-steps in one."""
    training = small_training()
    steps, real = Steps(training, monkeypatch), torch.rand(8, 1, 32, 32) - 0.5
    with torch.autocast("cpu", torch.bfloat16):
        before = training.critic(real, together=True)
        steps.run(real)
        inside = training.critic(real, together=True)
    with torch.autocast("cpu", torch.bfloat16):
        outside = training.critic(real, together=True)
    assert inside.equal(outside)
    assert not inside.equal(before)


def test_what_is_trained_inverts(monkeypatch):
    training = small_training()
    Steps(training, monkeypatch).run(torch.rand(8, 1, 32, 32) - 0.5)
    gan = training.gan(Card(**SIZES))
    found = invert(gan, torch.zeros(1, 1, 32, 32), SolverConfig(iterations=3, pool_size=5))
    assert found.restored.isfinite().all()
    assert gan.critic(torch.zeros(2, 1, 32, 32)).shape == (2,)


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(monkeypatch):
    training = small_training()
    steps = Steps(training, monkeypatch)
    with pytest.raises(InputError, match=r"training step 0.*generator.training.lr"):
        steps.run(torch.full((8, 1, 32, 32), torch.nan))
    training = small_training()
    steps = Steps(training, monkeypatch)
    steps.run(torch.zeros(8, 1, 32, 32))
    training.on_save_checkpoint({})
    steps.run(torch.full((8, 1, 32, 32), torch.nan))  # not a step in which losses are read
    with pytest.raises(InputError, match="training step 2"):
        training.on_save_checkpoint({})


def test_a_training_goes_on_from_a_finished_one(monkeypatch):
    first = small_training()
    Steps(first, monkeypatch).run(torch.rand(8, 1, 32, 32) - 0.5)
    gan = first.gan(Card(**SIZES, steps=40))
    second = small_training(seed=1)
    assert not second.samples(2).equal(first.samples(2))
    second.start_from(gan)
    steps = Steps(second, monkeypatch)
    assert second.steps_done == 40
    assert second.samples(2).equal(first.samples(2))
    steps.run(torch.rand(8, 1, 32, 32) - 0.5)
    assert second.steps_done == 41
    with pytest.raises(InputError, match=r"generator file of 40 steps has latent_dim 8, but the configuration has 9"):
        small_training(latent_dim=9).start_from(gan)


def test_a_checkpoint_of_another_network_is_refused():
    checkpoint = {}
    small_training().on_save_checkpoint(checkpoint)
    small_training().on_load_checkpoint(checkpoint)
    with pytest.raises(InputError, match="the checkpoint has resolution 32, but the configuration has 64"):
        small_training(resolution=64).on_load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("lr", value) for value in (0, -1, "fast", None, math.nan)),
        *(("ema", value) for value in (1, -0.1, True)),
        *(("r1", value) for value in (-1, math.inf)),
        *(("augment", value) for value in (2, -0.5, "much")),
        *(("betas", value) for value in ([0.5], [0.5, 1], 0.5)),
    ],
)
def test_options_out_of_range(name, value):
    with pytest.raises(InputError, match=rf"^generator\.training\.{name}={re.escape(typed(value))}: must be "):
        small_training(**{name: value})


def test_unknown_and_missing_options():
    with pytest.raises(
        InputError, match=r"^generator\.training\.foo: no such option; use one of r1, augment, .* ema, seed$"
    ):
        small_training(foo=1)
    with pytest.raises(InputError, match=r"^generator\.training\.r1: not given; add generator\.training\.r1="):
        SmallDataTraining(augment=0)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "newest.ckpt"
    AtomicCheckpoints().save_checkpoint({"step": 1}, path)

    def full(self, checkpoint, part, options):
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", full)
    with pytest.raises(InputError, match=r"newest.ckpt: cannot be written \(No space left"):
        AtomicCheckpoints().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("content", ["cut", "text", "empty", "another", "list"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "newest.ckpt"
    state = {"global_step": 7, "state_dict": {"weight": torch.ones(999)}}
    torch.save({"another": {"weight": 1}, "list": [1]}.get(content, state), path)
    if content in ("cut", "text", "empty"):
        path.write_bytes({"cut": path.read_bytes()[:-300], "text": b"hello", "empty": b""}[content])
    for mmap in (False, True):
        with pytest.raises(InputError, match=r"newest\.ckpt: is no checkpoint .* remove the file to begin anew"):
            read_checkpoint(path, mmap)
    with pytest.raises(InputError, match="is no checkpoint"):
        AtomicCheckpoints().load_checkpoint(path, weights_only=True)
