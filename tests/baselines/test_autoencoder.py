import pytest
import torch
from helpers.patterns import clean_images

from rgi.baselines.autoencoder import Autoencoder
from rgi.errors import InputError

TINY = {"latent_dim": 8, "width": 4, "max_width": 8}


def test_it_learns_a_trivial_set():
    """Two images, of which hardly anything is left over."""
    clean = clean_images(2)
    found = Autoencoder(**TINY, steps=60, batch_size=4, lr=1e-2).fit(clean)
    error = (found.predict(clean).restored - clean).square().mean()
    assert error < 0.1 * clean.var()
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_the_seed_settles_the_weights():
    clean = clean_images(8)
    first, second, other = (
        Autoencoder(**TINY, steps=3, seed=seed).fit(clean).predict(clean).restored for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_training_that_explodes_is_one_clear_error():
    with pytest.raises(InputError, match=r"autoencoder step \d+: the loss is not finite"):
        Autoencoder(**TINY, steps=50, lr=1e30).fit(clean_images(8))


@pytest.mark.parametrize(("shape", "message"), [((4, 1, 32, 64), "square"), ((4, 1, 48, 48), "resolution=48")])
def test_sizes_that_the_networks_lack_are_refused(shape, message):
    with pytest.raises(InputError, match=message):
        Autoencoder(**TINY).fit(torch.zeros(shape))
