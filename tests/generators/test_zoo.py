"""Conversion of the authors' checkpoints, and refusal of damaged or dangerous files."""

import io
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rgi.errors import InputError
from rgi.generators.store import load_gan
from rgi.generators.zoo import convert

GOLDEN = Path(__file__).parents[1] / "golden"
CHECKPOINT = GOLDEN / "tiny_s3_i96000.pt"
FORMATS = ["zip", "legacy"]


@pytest.fixture
def checkpoint(monkeypatch):
    """Content of the golden checkpoint. The authors' class can be imported, because pickling needs it."""
    stub = type("BaseConfig", (), {"__module__": "models.utils.config"})
    for package in ("models", "models.utils"):
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    monkeypatch.setitem(sys.modules, "models.utils.config", types.SimpleNamespace(BaseConfig=stub))
    with torch.serialization.safe_globals([stub]):
        return torch.load(CHECKPOINT, weights_only=True)


def save(checkpoint, path, form, **options):
    torch.save(checkpoint, path, _use_new_zipfile_serialization=form == "zip", **options)
    return path


def rewrite_pickle(path, old, new):
    """Replace bytes in the pickle of a checkpoint of either format."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)
    else:
        path.write_bytes(path.read_bytes().replace(old, new))


def check_golden(gan):
    golden = {name: torch.from_numpy(value) for name, value in np.load(GOLDEN / "forward.npz").items()}
    image = golden["image"]
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(gan.generator(golden["z"]), image, **tolerance)
    torch.testing.assert_close(gan.critic(image), golden["critic_single"][:, 0], **tolerance)
    eight = torch.cat([image, image[[5, 4]]])
    torch.testing.assert_close(gan.critic(eight, together=True), golden["critic_batch8"][:, 0], **tolerance)


def test_the_golden_checkpoint_gives_the_authors_images_and_scores(tmp_path):
    path = convert(CHECKPOINT, tmp_path / "tiny", dataset="celeba")
    gan = load_gan(path)
    assert path == tmp_path / "tiny.safetensors"
    assert (gan.card.family, gan.card.dataset) == ("progressive", "celeba")
    assert (gan.card.latent_dim, gan.card.channels, gan.card.resolution) == (32, 3, 32)
    assert gan.card.options == {"widths": [32, 32, 24, 16], "slope": 0.2}
    check_golden(gan)


def test_converted_weights_equal_the_checkpoint(tmp_path, checkpoint):
    gan = load_gan(convert(str(CHECKPOINT), tmp_path / "tiny"))
    assert gan.card.dataset == ""
    pairs = [(gan.generator.base, "avgG", "groupScale0.0"), (gan.critic.linear, "netD", "groupScaleZero.1")]
    for layer, network, theirs in pairs:
        assert torch.equal(layer.weight, checkpoint[network][f"{theirs}.module.weight"])
        assert torch.equal(layer.bias, checkpoint[network][f"{theirs}.module.bias"])


@pytest.mark.parametrize("form", FORMATS)
def test_both_formats_with_old_names_and_gpu_tensors_are_converted(tmp_path, checkpoint, form):
    for network in ("avgG", "netD"):
        checkpoint[network] = {name.replace(".module.", "."): value for name, value in checkpoint[network].items()}
    path = save(checkpoint, tmp_path / "old.pth", form)
    assert zipfile.is_zipfile(path) == (form == "zip")
    rewrite_pickle(path, b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    locations = set()
    with torch.serialization.safe_globals([type(checkpoint["config"])]):
        torch.load(path, weights_only=True, map_location=lambda storage, where: locations.add(where) or storage)
    assert locations == {"cuda:0"}
    check_golden(load_gan(convert(path, tmp_path / "old")))


class Evil:
    """A pickle of this object runs a shell command when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("place", ["file", "entry", "config"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_malicious_pickle_is_refused_by_name_and_not_run(tmp_path, checkpoint, form, protocol, place):
    trace = tmp_path / "trace"
    if place == "entry":
        checkpoint["avgG"]["formatLayer.module.bias"] = Evil(trace)
    elif place == "config":
        checkpoint["config"].alpha = Evil(trace)
    path = save(Evil(trace) if place == "file" else checkpoint, tmp_path / "evil.pt", form, pickle_protocol=protocol)
    with pytest.raises(InputError, match=rf"evil\.pt: .* names {os.system.__module__}\.system; nothing of it was run"):
        convert(path, tmp_path / "target")
    assert not trace.exists()
    assert not (tmp_path / "target.safetensors").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_is_refused_by_name_and_not_run(tmp_path, protocol):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"config": Evil(tmp_path / "trace")}, protocol))
    with pytest.raises(InputError, match=rf"{os.system.__module__}\.system"):
        convert(path, tmp_path / "target")
    pickle.loads(path.read_bytes())
    assert (tmp_path / "trace").exists(), "the pickle must be dangerous"


@pytest.mark.parametrize("name", ["builtins eval", "torch.hub load", "models.utils.config Other"])
def test_other_globals_are_refused_by_name(tmp_path, checkpoint, name):
    path = save(checkpoint, tmp_path / "evil.pt", "legacy")
    rewrite_pickle(path, b"cmodels.utils.config\nBaseConfig\n", b"c%s\n" % name.replace(" ", "\n").encode())
    with pytest.raises(InputError, match=name.split()[1]):
        convert(path, tmp_path / "target")


@pytest.mark.parametrize("missing", ["config", "avgG", "netD"])
def test_a_missing_part_is_named(tmp_path, checkpoint, missing):
    del checkpoint[missing]
    with pytest.raises(InputError, match=f"lacks {missing};"):
        convert(save(checkpoint, tmp_path / "part.pt", "zip"), tmp_path / "target")


@pytest.mark.parametrize("content", [[1, 2], {"config": 1, "avgG": [], "netD": {}}, torch.zeros(3)])
def test_another_checkpoint_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"other\.pt: is no checkpoint of a progressive GAN"):
        convert(save(content, tmp_path / "other.pt", "zip"), tmp_path / "target")


@pytest.mark.parametrize(
    ("network", "name", "value"),
    [
        ("avgG", "formatLayer.module.weight", None),
        ("avgG", "toRGBLayers.1.module.weight", None),
        ("avgG", "scaleLayers.1.0.module.bias", None),
        ("netD", "decisionLayer.module.bias", None),
        ("avgG", "attention.weight", torch.zeros(3)),
        ("netD", "decisionLayer.module.weight", torch.zeros(5, 32)),
        ("netD", "decisionLayer.module.bias", torch.full((1,), float("nan"))),
        ("netD", "decisionLayer.module.bias", "text"),
    ],
)
def test_a_network_with_other_layers_is_refused(tmp_path, checkpoint, network, name, value):
    if value is None:
        del checkpoint[network][name]
    else:
        checkpoint[network][name] = value
    with pytest.raises(InputError, match=rf"other\.pt: {network}"):
        convert(save(checkpoint, tmp_path / "other.pt", "zip"), tmp_path / "target")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("alpha", 0.25, r"alpha is 0\.25"),
        ("alpha", None, "lacks alpha"),
        ("depthOtherScales", [32, 24], "channels"),
        ("depthOtherScales", None, "lacks depthOtherScales"),
        ("equalizedlR", False, "equalizedlR is off"),
    ],
)
def test_a_config_of_another_network_is_refused(tmp_path, checkpoint, name, value, said):
    setattr(checkpoint["config"], name, value)
    with pytest.raises(InputError, match=rf"other\.pt: .*{said}"):
        convert(save(checkpoint, tmp_path / "other.pt", "zip"), tmp_path / "target")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kept", [0, 1, 40, 700, 6000, 0.5, 0.99, -1])
def test_a_truncated_file_is_refused(tmp_path, checkpoint, form, kept):
    path = save(checkpoint, tmp_path / "cut.pt", form)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else kept])
    with pytest.raises(InputError, match=r"cut\.pt: is no checkpoint"):
        convert(path, tmp_path / "target")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_damaged_pickle_gives_an_input_error_or_is_harmless(tmp_path, checkpoint):
    """Random bytes of the pickle are changed. An error has one line."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer, _use_new_zipfile_serialization=False)
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.pt"
    messages = []
    for _ in range(60):
        content = bytearray(buffer.getvalue())
        content[random.integers(0, 9000)] = random.integers(0, 256)
        path.write_bytes(content)
        try:
            convert(path, tmp_path / "target")
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(message.startswith(str(path)) and "\n" not in message for message in messages)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(64), b"hello " * 50, bytes(1000)])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"other\.pt: is no checkpoint"):
        convert(path, tmp_path / "target")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pt: no such checkpoint file"):
        convert(tmp_path / "absent.pt", tmp_path / "target")
