"""Calibrations: the threshold keeps its rate, the file keeps everything, and a wrong one is refused."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from helpers.patterns import clean_images
from helpers.tiny_gan import tiny_gan
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rgi.baselines.padim import PaDiM
from rgi.baselines.patchcore import PatchCore
from rgi.errors import InputError
from rgi.evaluation.calibration import (
    Calibration,
    calibration_file,
    load_calibration,
    rank,
    save_calibration,
    statistics_tensors,
    threshold,
)
from rgi.evaluation.combined_map import FEATURE_PARTS, BaselineMap, Part, feature_maps, unfitted_baselines
from rgi.generators import places
from rgi.generators.store import GAN
from rgi.inversion.maps import CleanStatistics

SETTINGS = {"fit": "tiles", "map.features": "critic", "seed": 0, "solver.betas": (0.8, 0.95)}
MEASURED = Calibration("abc", "old", SETTINGS, {"0.9": 0.1}, [1.0, 2.0, 4.0], 0.25, 4.0, 0.5, 0.1, {})


@given(st.integers(1, 500), st.floats(0.001, 0.999))
def test_the_threshold_is_the_lowest_clean_score_that_keeps_the_rate(count, rate):
    position = rank(count, rate)
    assert 1 <= position <= count
    assert position == 1 or position / (count + 1) <= rate + 1e-9
    assert (position + 1) / (count + 1) > rate - 1e-9
    scores = list(np.random.default_rng(count).permutation(count).astype(float))
    limit = threshold(scores, rate)
    assert sum(score >= limit for score in scores) == position


def test_the_rate_of_false_alarms_is_the_expected_one():
    """The mean over many sets of 39 clean pictures, each with new clean pictures."""
    rng = np.random.default_rng(0)
    thresholds = [threshold(list(rng.normal(size=39)), 0.1) for _ in range(400)]
    alarms = np.mean(rng.normal(size=(400, 100)) > np.array(thresholds)[:, None])
    measured = dataclasses.replace(MEASURED, scores=[0.0] * 39, false_positive_rate=0.1)
    assert alarms == pytest.approx(measured.expected_rate, abs=0.01)
    assert measured.expected_rate == 0.1


def fitted(gan: GAN, clean: Tensor) -> list[BaselineMap]:
    """The feature maps on critic features, fitted to all but the first four images."""
    return feature_maps(unfitted_baselines(gan, "critic", seed=0), clean, [0, 1, 2, 3], torch.device("cpu"))


def test_a_calibration_is_the_same_after_saving(tmp_path, monkeypatch):
    parts = {"PaDiM": Part(PaDiM, "critic", 1.0), "PatchCore": Part(PatchCore, "critic", 2.0)}
    monkeypatch.setitem(FEATURE_PARTS, "critic", parts)
    gan, clean = tiny_gan(), clean_images(12)
    residuals, maps = torch.rand(4, 32, 32), fitted(gan, clean)
    statistics = CleanStatistics(clean[:4], residuals, maps, [0.3, 0.5, 7.0])
    file = calibration_file(tmp_path / "my.own.safetensors")
    save_calibration(dataclasses.replace(MEASURED, statistics=statistics_tensors(statistics)), file)
    loaded = load_calibration(file)
    assert dataclasses.replace(loaded, statistics={}) == dataclasses.replace(
        MEASURED, settings=SETTINGS | {"solver.betas": [0.8, 0.95]}
    )
    pictures = clean_images(2, seed=1), torch.rand(2, 32, 32)
    clean = loaded.clean(gan)
    torch.testing.assert_close(clean.combined(*pictures, sigma=1), statistics.combined(*pictures, sigma=1))
    assert clean.normalised(pictures[1], sigma=1).equal(statistics.normalised(pictures[1], sigma=1))
    assert clean.weights == statistics.weights
    assert [path.name for path in tmp_path.iterdir()] == ["my.own.calibration.safetensors"]
    for changed in ({"other": parts["PaDiM"], "PatchCore": parts["PatchCore"]}, {"PaDiM": parts["PaDiM"]}):
        monkeypatch.setitem(FEATURE_PARTS, "critic", changed)
        with pytest.raises(InputError, match="is of another version, with PaDiM, PatchCore; calibrate again"):
            loaded.clean(gan)


def test_a_calibration_without_weights_is_of_an_older_version():
    gan, clean = tiny_gan(), clean_images(12)
    tensors = statistics_tensors(CleanStatistics(clean[:4], torch.rand(4, 32, 32), fitted(gan, clean)))
    assert dataclasses.replace(MEASURED, statistics=dict(tensors)).clean(gan).weights == [1.0, 1.0]
    del tensors["weights"]
    with pytest.raises(InputError, match="is of another version, with PaDiM; calibrate again"):
        dataclasses.replace(MEASURED, statistics=tensors).clean(gan)


def test_a_calibration_of_another_generator_or_method_is_refused(tmp_path, caplog):
    save_calibration(MEASURED, tmp_path / "a.calibration.safetensors")
    loaded = load_calibration(tmp_path / "a.calibration.safetensors")
    gan = tiny_gan()
    with pytest.raises(InputError, match="a: is a calibration of another generator; anew, or move this file away"):
        loaded.check(gan, SETTINGS, "a", "anew")
    assert "a: is of another version of this program, so the threshold may be off; anew" in caplog.text
    gan.card = dataclasses.replace(gan.card, sha256="abc")
    loaded.check(gan, SETTINGS, "a", "anew")
    with pytest.raises(InputError, match="fit=whole: the calibration a has fit=tiles; anew, or move"):
        loaded.check(gan, SETTINGS | {"fit": "whole"}, "a", "anew")


@pytest.mark.parametrize("content", [b"", b"no calibration", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_calibration_is_refused(content, tmp_path):
    file = tmp_path / "a.calibration.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"is no calibration .*; remove it, and calibrate again"):
        load_calibration(file)


@pytest.mark.parametrize("field", ["threshold", "usual_pixel", "defect_prior"])
@pytest.mark.parametrize("value", ["a", math.nan, math.inf])
def test_a_calibration_with_a_wrong_number_is_refused(field, value, tmp_path):
    file = tmp_path / "a.calibration.safetensors"
    save_calibration(dataclasses.replace(MEASURED, **{field: value}), file)
    with pytest.raises(InputError, match=r"is no calibration .*; remove it, and calibrate again"):
        load_calibration(file)


def test_the_calibration_of_a_shipped_generator_is_the_users_own():
    shipped = next(places.SHIPPED.glob("*.safetensors"))
    assert calibration_file(places.own_file(shipped)).parent == places.LOCAL
