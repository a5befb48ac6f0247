"""The plain loop in experiments/speed equals the published procedure."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rgi import load_gan
from rgi.generators.zoo import convert

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
CASES = json.loads((GOLDEN / "inversion.json").read_text())


@pytest.fixture(scope="module")
def loop():
    """The module experiments/speed/loop.py, which does not belong to the package."""
    spec = importlib.util.spec_from_file_location("loop", ROOT / "experiments/speed/loop.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDEN / "inversion.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return convert(GOLDEN / "tiny_s3_i96000.pt", tmp_path_factory.mktemp("zoo") / "tiny.safetensors")


@pytest.mark.parametrize("name", ["anomaly_rgi_l2", "anomaly_r_rgi_l2"])
def test_the_plain_loop_equals_the_published_procedure(name, loop, arrays, checkpoint):
    case, distances = CASES[name], []
    method = loop.Published(
        penalty=case["mask_penalty"],
        tune_generator=case["tune_generator"],
        critic_weight=case["lam_dis"],
        iterations=case["iterations"],
        tune_from=case["start_fine_tune"],
        lr_generator=case["lr_G"],
    )
    for dtype in (torch.float32, torch.float64):
        gan = load_gan(checkpoint).to(dtype)
        images, starts = (arrays[key].to(dtype).split(1) for key in ("observed", "latent_init"))
        pairs = zip(images, starts, strict=True)
        found = [loop.invert_one(gan.generator, gan.critic, image, start, method) for image, start in pairs]
        restored, mask = (torch.cat(parts) for parts in zip(*found, strict=True))
        wanted = ((restored, arrays[f"{name}.restored"]), (mask, arrays[f"{name}.mask"]))
        distances.append(max((ours - theirs).abs().mean().item() for ours, theirs in wanted))
    assert min(distances) < 1e-4


def test_the_plain_loop_has_the_start_of_the_published_procedure(loop, arrays, checkpoint):
    start = loop.nearest(load_gan(checkpoint).generator, arrays["observed"][:1], arrays["pool"])
    assert start.equal(arrays["latent_init"][:1])
