"""Golden numbers of the authors' implementation for a tiny progressive GAN with random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rgi import SolverConfig, invert, load_gan
from rgi.generators.zoo import convert

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "inversion.json").read_text())
TOLERANCE = {"L2": 1e-4, "L1": 1e-2}  # rounding of a gradient near zero can change the sign of an Adam step with L1


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDEN / "inversion.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    return load_gan(convert(GOLDEN / "tiny_s3_i96000.pt", tmp_path_factory.mktemp("zoo") / "tiny.safetensors"))


def reference(case: dict, precision: str) -> SolverConfig:
    """Configuration for the options of the authors' implementation."""
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
        betas=(0.9, 0.999),
        schedule="constant",
        warmup=0,
        iterations=case["iterations"],
        latent_start="given",
        precision=precision,
    )


@pytest.mark.parametrize("name", CASES)
def test_the_first_iterations_equal_the_authors_results(name, gan, arrays):
    case, distances = CASES[name], []
    for precision in ("float32", "float64"):
        result = invert(
            gan,
            arrays["observed"],
            reference(case, precision),
            given_mask=arrays["true_mask"],
            latent_start=arrays["latent_init"],
        )
        pairs = ((result.mask, arrays[f"{name}.mask"]), (result.restored, arrays[f"{name}.restored"]))
        distances.append(max((actual - expected).abs().mean().item() for actual, expected in pairs))
    assert min(distances) < TOLERANCE[case["loss_type"]]


def test_the_start_from_the_pool_equals_the_authors_start(gan, arrays):
    config = SolverConfig(iterations=1, lr_latent=1e-30, mask="adam", schedule="constant")
    result = invert(gan, arrays["observed"], config, pool=arrays["pool"])
    torch.testing.assert_close(result.latent, arrays["latent_init"])
