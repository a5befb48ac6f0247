import sys
from types import SimpleNamespace

import pytest
import torch
from helpers.patterns import clean_images
from helpers.tiny_gan import tiny_gan

from rgi.baselines.features import critic_features, embed, timm_features
from rgi.errors import InputError


@pytest.mark.parametrize(("family", "sizes"), [("compact", [16, 8, 4]), ("progressive", [8, 4])])
def test_a_critic_gives_its_maps_from_fine_to_coarse(family, sizes):
    gan = tiny_gan(family)
    images = clean_images(3)[..., : gan.card.resolution, : gan.card.resolution]
    maps = critic_features(gan)(images)
    assert [tuple(x.shape[2:]) for x in maps] == [(size, size) for size in sizes]
    some = critic_features(gan, [1])(images)
    assert len(some) == 1
    assert torch.equal(some[0], maps[1])


@pytest.mark.parametrize("family", ["compact", "progressive"])
def test_the_last_map_is_what_the_critic_itself_decides_by(family):
    gan = tiny_gan(family)
    images = clean_images(3)[..., : gan.card.resolution, : gan.card.resolution]
    seen = []
    last = gan.critic.head if family == "compact" else gan.critic.conv
    handle = last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    gan.critic(images)
    handle.remove()
    torch.testing.assert_close(critic_features(gan)(images)[-1], seen[0][:, :-1])  # without the minibatch statistic


def test_the_gan_is_left_as_it_is():
    gan = tiny_gan()
    critic_features(gan).double()
    assert next(gan.critic.parameters()).dtype == torch.float32


def test_a_gan_without_a_critic_and_levels_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="pca generator has no critic"):
        critic_features(tiny_gan("pca"))
    for levels in ([3], [-1], []):
        with pytest.raises(InputError, match="the critic has levels 0 to 2"):
            critic_features(tiny_gan(), levels)


def test_maps_are_joined_at_the_finest_resolution():
    images = torch.rand(40, 1, 4, 4)  # more than are embedded at once
    coarse = torch.nn.functional.avg_pool2d(images, 2)
    joint = torch.cat(list(embed(lambda x: [torch.nn.functional.avg_pool2d(x, 2), x], images)))
    assert torch.equal(joint[:, 1:], images)
    assert torch.equal(joint[:, :1], coarse.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_neighbourhood_has_zeros_outside_the_map():
    constant = torch.full((1, 1, 4, 4), 9.0)
    (joint,) = embed(lambda x: [x], constant, neighbourhood=3)
    inside = torch.tensor([2.0, 3.0, 3.0, 2.0])  # of three positions
    torch.testing.assert_close(joint[0, 0], inside[:, None] * inside)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (lambda x: [], "list of maps"),
        (lambda x: [x.flatten(1)], "list of maps"),
        (lambda x: [x[:1]], "list of maps"),
        (lambda x: [x / 0], "NaN or infinite"),
    ],
)
def test_extractors_that_give_something_else_are_refused(features, message):
    with pytest.raises(InputError, match=message):
        list(embed(features, clean_images(2)))


def test_without_timm_there_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install timm"):
        timm_features("resnet18")


def test_timm_gets_images_in_its_own_units(monkeypatch, tmp_path):
    class Network(torch.nn.Module):
        pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.5, 0.2, 0.1)}  # noqa: RUF012

        def forward(self, x):
            return [x]

    asked = {}
    fake = SimpleNamespace(create_model=lambda name, **options: asked.update(options, name=name) or Network())
    monkeypatch.setitem(sys.modules, "timm", fake)
    weights = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="no such file"):
        timm_features("some", checkpoint=weights)
    weights.touch()
    (seen,) = timm_features("some", levels=(2,), checkpoint=weights)(torch.zeros(2, 1, 4, 4))
    assert asked["name"] == "some"
    assert asked["out_indices"] == (2,)
    assert asked["features_only"]
    assert asked["pretrained_cfg_overlay"] == {"file": str(weights)}
    torch.testing.assert_close(seen[0, :, 0, 0], torch.tensor([0.0, 0.5, 2.0]))
    with pytest.raises(InputError, match="one or three channels"):
        timm_features("some")(torch.zeros(2, 2, 4, 4))


def test_what_timm_refuses_is_passed_on(monkeypatch):
    def refuse(name, **options):
        raise RuntimeError(f"Unknown model ({name})")

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=refuse))
    with pytest.raises(InputError, match=r"'nothing'.*Unknown model"):
        timm_features("nothing")
