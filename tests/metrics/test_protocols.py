"""All scores in one object: the scores equal those of the single metrics, and scores without data are absent."""

import numpy as np
import pytest
import torch
from helpers.two_processes import scores_of, use_few_octaves, whole_set, work
from torch import multiprocessing

from rgi.metrics import reference
from rgi.metrics.protocols import Scores
from rgi.metrics.standard import PixelCurve, psnr_hole

DATA = whole_set()
EXISTING = {f"standard/{name}" for name in ("pixel_auroc", "pixel_auroc_error", "image_auroc", "psnr", "ssim")}
OF_THE_TRUTH = ("pixel", "aupro", "image", "best", "clean_threshold", "f1", "mask_iou", "auroc", "dice")
OF_THE_HOLE = ("psnr_hole", "psnr_composited", "ssim_composited")


@pytest.fixture(autouse=True, scope="module")
def _few_octaves():
    with pytest.MonkeyPatch.context() as patch:
        use_few_octaves(patch.setattr)
        yield


@pytest.fixture(scope="module")
def together():
    return scores_of([list(range(9))])


def test_scores_equal_the_scores_of_the_single_metrics(together):
    pixels = PixelCurve()
    pixels.update(DATA["anomaly_map"], DATA["true_mask"])
    for name, value in pixels.compute().items():
        assert together[f"standard/{name}"] == value
    hole = psnr_hole(DATA["restored"], DATA["clean"], DATA["true_mask"]).numpy()
    assert together["standard/psnr_hole"].item() == pytest.approx(np.nanmean(hole))
    assert together["standard/psnr_hole_median"].item() == pytest.approx(np.nanmedian(hole))
    assert together.keys() >= EXISTING
    assert all(value.ndim == 0 and value.dtype == torch.float64 for value in together.values())


def test_the_reference_protocol_has_the_aggregates_of_the_authors(together):
    psnr = reference.psnr(DATA["restored"], DATA["clean"]).numpy()
    assert together["reference/psnr_median"].item() == pytest.approx(np.median(psnr))
    assert together["reference/psnr_std"].item() == pytest.approx(np.std(psnr))
    defective = [2, 3, 4, 5, 6, 7, 8]  # image 0 has no defect pixels, image 1 has no normal pixels
    for name in ("auroc", "dice"):
        values = getattr(reference, name)(DATA["estimated_mask"], DATA["true_mask"][:, 0])[defective]
        assert together[f"reference/{name}"].item() == pytest.approx(values.mean().item())
        assert together[f"reference/{name}_left_out"] == 2


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({"clean": None}, ("psnr", "ssim")),
        ({"true_mask": None}, (*OF_THE_TRUTH, *OF_THE_HOLE)),
        ({"estimated_mask": None}, ("mask_iou",)),
    ],
)
def test_scores_that_need_missing_data_are_absent(given, absent, together):
    scores = Scores(0.4)
    scores.update(**DATA | given)
    expected = [key for key in together if "/" in key and not key.partition("/")[2].startswith(absent)]
    assert list(scores.compute()) == expected


def test_images_alone_give_no_score():
    scores = Scores()
    scores.update(anomaly_map=DATA["anomaly_map"], restored=DATA["restored"], observed=DATA["observed"])
    assert scores.compute() == {}


def test_the_reference_protocol_uses_the_residual_of_a_method_without_mask():
    scores = Scores()
    scores.update(**DATA | {"estimated_mask": None})
    residual = reference.auroc(DATA["observed"] - DATA["restored"], DATA["true_mask"][:, 0])
    assert scores.compute()["reference/auroc"].item() == pytest.approx(residual.nanmean().item())


def test_batches_and_their_order_have_no_effect_and_reset_removes_all_images(together):
    same(scores_of([[8, 0], [1], [7, 6, 5, 4, 3, 2]]), together)
    scores = Scores()
    scores.update(**DATA)
    scores.reset()
    scores.update(**{name: tensor[:1] for name, tensor in DATA.items()})
    assert scores.compute()["standard/psnr_hole_left_out"] == 1


def test_two_processes_give_the_scores_of_one_even_if_one_has_no_images(tmp_path, together):
    shares = [([4, 1, 0, 7], [2, 3, 5, 6, 8]), ([], list(range(9)))]
    multiprocessing.spawn(work, (tmp_path, shares), nprocs=2)
    for file in [tmp_path / f"{case}-{rank}.pt" for case in range(2) for rank in range(2)]:
        same(torch.load(file, weights_only=True), together)


def same(result, expected):
    assert list(result) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(result[name], value, rtol=1e-12, atol=1e-12)
