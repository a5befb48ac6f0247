"""Storage of a GAN: round trips, search by name, refusal of damaged or dangerous files."""

import dataclasses
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rgi.errors import InputError
from rgi.generators import build, families, places, store
from rgi.generators.store import GAN, Card, load_gan, save_gan

SMALL = {
    "compact": {"width": 2, "max_width": 4},
    "progressive": {"widths": [16, 16, 8, 8]},
    "appearance": {"shapes": 2},
}


def make(family="compact", name="test", seed=0):
    torch.manual_seed(seed)
    card = Card(family, 5, 3, 32, SMALL.get(family, {}), dataset=name, residuals={"0.99": 0.5})
    networks = build(family, latent_dim=5, channels=3, resolution=32, **card.options)
    return GAN(*networks, None, card)


@pytest.fixture
def saved(tmp_path) -> Path:
    return save_gan(make(), tmp_path / "gan")


def edit_card(path, **changes):
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


def rewrite(path, **tensors):
    """Replace tensors of a file and the hash in its card."""
    save_file(load_file(path) | tensors, path)
    edit_card(path, sha256=store.sha256(path))


def test_only_modules_with_build_are_families():
    assert {"compact", "progressive", "pca", "appearance"} <= set(families())
    assert not {"store", "zoo", "layers"} & set(families())


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_round_trip(tmp_path, family, dtype):
    gan = make(family)
    path = save_gan(gan, tmp_path / "new" / "gan", dtype)
    back = load_gan(path)
    assert path == tmp_path / "new" / "gan.safetensors"
    assert back.card == dataclasses.replace(gan.card, sha256=store.sha256(path))
    assert back.modules().keys() == gan.modules().keys()
    for role, module in back.modules().items():
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
        for name, value in gan.modules()[role].state_dict().items():
            expected = value.to(dtype).to(value.dtype) if value.is_floating_point() else value
            actual = module.state_dict()[name]
            assert actual.dtype == value.dtype
            assert torch.equal(actual, expected)
    z = torch.randn(2, 5)
    image = gan.generator(z)
    difference = (back.generator(z) - image).std()
    assert difference <= (0 if dtype == torch.float32 else 0.01) * image.std()


def test_half_precision_halves_the_file(tmp_path):
    gan = make()
    sizes = [save_gan(gan, tmp_path / "gan", dtype).stat().st_size for dtype in (torch.float16, torch.float32)]
    assert sizes[0] < 0.7 * sizes[1]


def test_a_name_may_have_a_dot(tmp_path):
    path = save_gan(make(), tmp_path / "brick-v1.5")
    assert path.name == "brick-v1.5.safetensors"
    assert load_gan(str(path)).card.dataset == "test"


def test_a_file_may_begin_with_the_bytes_of_a_pickle(tmp_path):
    """A safetensors file begins with the length of its header, and one of these lengths begins like a pickle."""
    heads = set()
    for length in range(0, 256, 8):
        path = tmp_path / f"{length}.safetensors"
        save_file({"generator." + "x" * length: torch.zeros(1)}, path)
        heads.add(path.read_bytes()[0])
        assert store.find_gan(path) == path
    assert 0x80 in heads


def test_edited_weights_are_refused(saved):
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(InputError, match=r"gan\.safetensors: does not match the sha256 in gan\.json"):
        load_gan(saved)


def test_a_kill_between_weights_and_card_loses_neither(saved, monkeypatch):
    """The new weights are in place, and their card has still its temporary name."""

    def kill(source: Path, target: Path) -> None:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        source.rename(target)

    gan = make(name="new", seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(store.os, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            save_gan(gan, saved)
    back = load_gan(saved)
    assert back.card.dataset == "new"
    store.write_card(back.card, saved)
    assert load_gan(saved).card == back.card
    saved.with_suffix(".json.part").write_text('{"sha256": ')  # killed while it wrote the card
    assert load_gan(saved).card == back.card


@pytest.mark.parametrize("kept", [0, 4, 100])
def test_a_truncated_file_is_refused(saved, kept):
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"gan\.safetensors"):
        load_gan(saved)


def test_a_missing_card_is_refused(saved):
    saved.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"gan\.json: missing"):
        load_gan(saved)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"family": "compact"}'])
def test_a_broken_card_is_refused(saved, content):
    saved.with_suffix(".json").write_text(content)
    with pytest.raises(InputError, match=r"gan\.json: is no generator card"):
        load_gan(saved)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_is_refused_with_the_command_for_its_conversion(tmp_path, legacy):
    path = tmp_path / "gan.pt"
    torch.save({"weights": torch.zeros(2)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match="task=convert source="):
        load_gan(path)


def test_a_pickle_with_the_wrong_suffix_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "run",)

    path = tmp_path / "gan.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="pickled"):
        load_gan(path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(saved, wrong):
    name = "generator.to_image.bias"
    rewrite(saved, **{name: torch.full((3,), wrong)})
    with pytest.raises(InputError, match=r"generator's to_image\.bias holds NaN or infinite"):
        load_gan(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"latent_dim": 6},
        {"channels": 1},
        {"resolution": 64},
        {"resolution": 33},
        {"resolution": "32"},
        {"latent_dim": -1},
        {"options": {}},
        {"options": []},
        {"options": {"depth": 3}},
        {"family": "progressive", "options": SMALL["progressive"]},
        {"family": "store"},
        {"family": "nonsense"},
    ],
)
def test_a_card_of_another_architecture_is_refused(saved, changes):
    edit_card(saved, **changes)
    with pytest.raises(InputError):
        load_gan(saved)


def test_tensors_with_an_unknown_role_are_refused(saved):
    rewrite(saved, **{"optimizer.step": torch.zeros(1)})
    with pytest.raises(InputError, match=r"'optimizer\.step'"):
        load_gan(saved)


def test_a_generator_is_found_by_its_name(tmp_path, monkeypatch):
    shipped, own = tmp_path / "shipped", tmp_path / "work" / "data" / "generators"
    save_gan(make(name="shipped"), shipped / "brick-64")
    save_gan(make(name="shipped"), shipped / "grass-64")
    save_gan(make(name="own"), own / "grass-64")
    save_gan(make(name="own"), own / "sand-64")
    save_gan(make(name="trained"), own / "local" / "sand-64")
    monkeypatch.setattr(places, "SHIPPED", shipped)
    monkeypatch.chdir(tmp_path / "work")
    assert load_gan("brick-64").card.dataset == "shipped"
    assert load_gan("grass-64").card.dataset == "own"
    assert load_gan("sand-64").card.dataset == "trained"
    with pytest.raises(InputError, match="gravel-64: no such generator"):
        load_gan("gravel-64")


def test_a_failing_save_leaves_the_previous_file(saved, monkeypatch):
    before = saved.read_bytes(), saved.with_suffix(".json").read_bytes()

    def full_disk(tensors, path):
        Path(path).write_bytes(b"half a")
        raise OSError("no space left on device")

    unwritable = make(seed=1)
    unwritable.card = dataclasses.replace(unwritable.card, options={"width": object()})
    with pytest.raises(TypeError):
        save_gan(unwritable, saved)
    monkeypatch.setattr(store, "save_file", full_disk)
    with pytest.raises(InputError, match=r"cannot be written \(no space left on device\); make room"):
        save_gan(make(name="next"), saved)
    assert (saved.read_bytes(), saved.with_suffix(".json").read_bytes()) == before
    assert load_gan(saved).card.dataset == "test"


@pytest.mark.parametrize(("terms", "logged"), [("CC0.", "CC0."), ("", "are not recorded")])
def test_loading_logs_the_terms_of_use(terms, logged, tmp_path, caplog):
    gan = make()
    gan.card = dataclasses.replace(gan.card, terms=terms)
    with caplog.at_level("INFO"):
        load_gan(save_gan(gan, tmp_path / "gan"))
    (message,) = caplog.messages
    assert message.startswith(str(tmp_path / "gan.safetensors"))
    assert message.endswith(logged)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_have_the_permissions_of_new_files(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        path = save_gan(make(), tmp_path / "gan")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert [file.stat().st_mode & 0o777 for file in (path, path.with_suffix(".json"))] == [mode, mode]


def test_a_file_without_permission_is_named(saved, monkeypatch):
    """The tests may run as root, which may read everything."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "safe_open", refuse)
    with pytest.raises(InputError, match=r"gan\.safetensors: cannot be read \(.*Permission denied\); ask its owner"):
        load_gan(saved)
