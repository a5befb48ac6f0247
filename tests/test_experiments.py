"""Scripts in experiments: the plain loop is the published procedure, and the reproduction compares equal rows."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from rgi import load_gan
from rgi.generators.zoo import convert

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
CASES = json.loads((GOLDEN / "inversion.json").read_text())


def script(path: str):
    """The module of a script, which does not belong to the package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "experiments" / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def loop():
    return script("speed/loop.py")


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


def test_the_reproduction_sets_equal_rows_beside_each_other(tmp_path, monkeypatch, capsys):
    """The category "03" stays text, seeds are averaged, and a published score without a row of ours is named."""
    reproduce = script("reproduction/reproduce.py")
    head = "dataset,category,corruption,method,protocol,metric"
    faces, defects = "celeba,faces,central,rgi,standard,psnr", "btad,03,crack,rgi,standard,pixel_auroc"
    tables = [tmp_path / name for name in ("inpainting.csv", "anomaly.csv")]
    tables[0].write_text(
        f"{head},seed,value\n{faces},0,20\n{faces},1,22\nceleba,faces,central,rgi,standard,dice,0,nan\n"
    )
    tables[1].write_text(f"{head},seed,value\n{defects},0,0.8\n")
    monkeypatch.setattr(reproduce, "PUBLISHED", tmp_path / "published.csv")
    reproduce.PUBLISHED.write_text(f"{head},value\n{defects},0.9\n{faces.replace('central', 'random')},30\n")
    reproduce.compare(tables)
    found = pd.read_csv(tmp_path / "comparison.csv", dtype=str, keep_default_na=False).set_index("metric")
    assert found.loc["pixel_auroc", ["category", "ours", "paper"]].tolist() == ["03", "0.8", "0.9"]
    assert found.loc["psnr", ["ours", "paper"]].tolist() == ["21.0", ""]
    assert len(found) == 3
    assert "random" in capsys.readouterr().err
