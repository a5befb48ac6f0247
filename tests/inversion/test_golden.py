"""The authors' implementation, step for step: numbers it produced on a tiny progressive GAN with random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rgi import SolverConfig, invert, load_gan
from rgi.generators.zoo import convert

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "inversion.json").read_text())
TOLERANCE = {"L2": 1e-4, "L1": 1e-2}  # a near-zero gradient can turn one Adam step of an L1 case round


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDEN / "inversion.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    return load_gan(convert(GOLDEN / "tiny_s3_i96000.pt", tmp_path_factory.mktemp("zoo") / "tiny.safetensors"))


def reference(case: dict, precision: str) -> SolverConfig:
    """The authors' options in our words."""
    learned, true_mask = case["learn_mask"], case["given_mask"] == "mask"
    return SolverConfig(
        data_term=case["loss_type"].lower(),
        mask="adam" if learned else "given" if true_mask else "none",
        mask_penalty=case["mask_penalty"] if learned else 0.1,
        mask_init="ones" if case["task"] == "Semantic_inpainting" else "zeros",
        freeze_mask_from=case["start_fine_tune"] if case["fix_mask"] else None,
        tune_generator=case["tune_generator"],
        tune_from=case["start_fine_tune"],
        critic_weight=case["lam_dis"],
        lr_latent=case["lr_z"],
        lr_mask=case["lr_M"],
        lr_generator=case["lr_G"],
        schedule="constant",
        warmup=0,
        iterations=case["iterations"],
        latent_start="given",
        precision=precision,
    )


@pytest.mark.parametrize("name", CASES)
def test_first_iterations_equal_the_authors(name, gan, arrays):
    case, distances = CASES[name], []
    for precision in ("float32", "float64"):
        found = invert(
            gan,
            arrays["observed"],
            reference(case, precision),
            given_mask=arrays["true_mask"],
            latent_start=arrays["latent_init"],
        )
        pairs = ((found.mask, arrays[f"{name}.mask"]), (found.restored, arrays[f"{name}.restored"]))
        distances.append(max((ours - theirs).abs().mean().item() for ours, theirs in pairs))
    assert min(distances) < TOLERANCE[case["loss_type"]]


def test_choice_from_the_pool_equals_the_authors(gan, arrays):
    config = SolverConfig(iterations=1, lr_latent=1e-30, mask="adam", schedule="constant")
    found = invert(gan, arrays["observed"], config, pool=arrays["pool"])
    torch.testing.assert_close(found.latent, arrays["latent_init"])
