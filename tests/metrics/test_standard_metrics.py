"""The standard protocol against scikit-learn and scikit-image, and its behaviour over batches."""

import numpy as np
import pytest
import torch
from helpers.two_processes import blobs, images, residual_maps, use_few_octaves
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_recall_curve, roc_auc_score

from rgi.errors import InputError
from rgi.metrics import curves, standard
from rgi.metrics.checks import metric_device
from rgi.metrics.per_image import PerImage

pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")


def pixel_curve(anomaly_map, mask, sizes=None):
    metric = standard.PixelCurve()
    for part, truth in zip(*(x.split(sizes or len(x)) for x in (anomaly_map, mask)), strict=True):
        metric.update(part, truth)
    return metric.compute()


MAPS = {
    "residual": lambda: residual_maps(),
    "no difference": lambda: residual_maps(shift=0),
    "mostly zero": lambda: ((residual_maps()[0] - 0.2).clamp(min=0), residual_maps()[1]),
    "coarse ties": lambda: (residual_maps()[0].mul(10).round(), residual_maps()[1]),
    "distances": lambda: (100 * residual_maps()[0], residual_maps()[1]),
}


@pytest.mark.parametrize("kind", MAPS)
def test_pixel_curve_equals_scikit_learn_within_its_bound(kind):
    anomaly_map, mask = MAPS[kind]()
    result = {name: value.item() for name, value in pixel_curve(anomaly_map, mask).items()}
    truth, score = mask.flatten().numpy(), anomaly_map.flatten().numpy()
    assert result["pixel_auroc_error"] < 1e-6
    assert abs(result["pixel_auroc"] - roc_auc_score(truth, score)) <= result["pixel_auroc_error"] + 1e-12
    assert result["pixel_ap"] == pytest.approx(average_precision_score(truth, score), abs=1e-4)
    precision, recall, _ = precision_recall_curve(truth, score)
    best = (2 * precision * recall / (precision + recall + 1e-12)).max()
    assert result["best_f1"] == pytest.approx(best, abs=1e-4)
    assert result["best_f1"] == pytest.approx(f1_score(truth, score >= result["best_f1_threshold"]), abs=1e-12)
    called = score >= result["best_f1_threshold"]
    assert result["best_iou"] == pytest.approx(jaccard_score(truth, called), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-15, 1e5])
def test_the_bound_holds_where_the_bins_are_too_coarse(scale, monkeypatch):
    use_few_octaves(monkeypatch.setattr, coarse_bits=3)
    anomaly_map, mask = residual_maps(images=9, side=32)
    result = pixel_curve(anomaly_map * scale, mask)
    exact = roc_auc_score(mask.flatten(), anomaly_map.flatten())
    assert result["pixel_auroc_error"] > 1e-4
    assert abs(result["pixel_auroc"] - exact) <= result["pixel_auroc_error"]
    precision = average_precision_score(mask.flatten(), anomaly_map.flatten())
    assert result["pixel_ap_error"] > 1e-4
    assert abs(result["pixel_ap"] - precision) <= result["pixel_ap_error"]
    f1, _ = curves.best_f1(*curves.levels(anomaly_map, mask))
    assert 0 <= f1 - result["best_f1"] <= result["best_f1_error"]


@pytest.mark.parametrize("value", [0.0, 0.2989, 1e-12, 4096.0])
def test_a_true_tie_causes_no_error(value):
    anomaly_map, mask = residual_maps(images=6)
    constant = pixel_curve(torch.full_like(anomaly_map, value), mask, [3, 2, 1])
    assert constant["pixel_auroc"] == 0.5
    assert all(constant[f"{name}_error"] == 0 for name in ("pixel_auroc", "aupro", "pixel_ap", "best_f1"))


def test_pixel_curve_does_not_depend_on_batches_or_their_order(monkeypatch):
    use_few_octaves(monkeypatch.setattr)
    anomaly_map, mask = residual_maps(images=12)
    together, order = pixel_curve(anomaly_map, mask), torch.randperm(12)
    for again in [
        pixel_curve(anomaly_map, mask, [1, 7, 4]),
        pixel_curve(anomaly_map[order], mask[order], [5, 5, 2]),
        pixel_curve(anomaly_map.double(), mask.bool()),
    ]:
        assert again.keys() == together.keys()
        for name, value in together.items():  # only sums of fractions depend on the order
            assert again[name].item() == pytest.approx(value.item(), abs=1e-12 if name.startswith("aupro") else 0)


def test_scores_above_one_have_the_same_scale_in_all_batches():
    """Only one batch has a score above 1; torchmetrics applies a sigmoid to this batch."""
    anomaly_map = torch.tensor([[[0.1, 5.0]], [[0.3, 0.4]]])
    mask = torch.tensor([[[[0, 1]]], [[[1, 1]]]])
    assert pixel_curve(anomaly_map, mask, [1, 1])["pixel_auroc"] == 1


def test_reset_removes_all_images(monkeypatch):
    use_few_octaves(monkeypatch.setattr)
    metric = standard.PixelCurve()
    metric.update(*residual_maps(images=3))
    metric.reset()
    metric.update(*residual_maps(images=3, seed=1))
    assert metric.compute() == pixel_curve(*residual_maps(images=3, seed=1))


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_pixel_curve_is_nan_without_both_classes(truth):
    result = pixel_curve(torch.rand(2, 8, 8), torch.full((2, 1, 8, 8), truth))
    assert all(value.isnan() for value in result.values())


def test_all_metrics_are_nan_before_the_first_update():
    assert all(value.isnan() for value in standard.PixelCurve().compute().values())
    assert standard.ImageAUROC().compute().isnan()


@pytest.mark.parametrize(
    ("anomaly_map", "mask", "message"),
    [
        (torch.full((1, 4, 4), -0.1), torch.zeros(1, 1, 4, 4), "anomaly_map: holds negative scores"),
        (torch.full((1, 4, 4), torch.nan), torch.zeros(1, 1, 4, 4), "anomaly_map: holds NaN"),
        (torch.ones(1, 4, 4), torch.full((1, 1, 4, 4), 0.5), "mask: holds values other than 0 and 1"),
        (torch.ones(1, 4, 4), torch.zeros(1, 4, 4), r"mask \(1, 4, 4\)"),
        (torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), r"anomaly_map \(1, 1, 4, 4\)"),
        (torch.ones(2, 4, 4), torch.zeros(1, 1, 4, 4), r"mask \(1, 1, 4, 4\)"),
    ],
)
def test_pixel_curve_refuses_wrong_input_and_keeps_its_state(anomaly_map, mask, message, monkeypatch):
    use_few_octaves(monkeypatch.setattr)
    metric = standard.PixelCurve()
    with pytest.raises(InputError, match=message):
        metric.update(anomaly_map, mask)
    assert metric.defect.sum() + metric.normal.sum() == 0


def test_image_auroc_equals_scikit_learn():
    random = torch.Generator().manual_seed(3)
    label = (torch.rand(200, generator=random) < 0.5).int()
    score = (torch.randn(200, generator=random) + label).mul(3).round()
    metric = standard.ImageAUROC()
    for part, truth in zip(score.split(64), label.split(64), strict=True):
        metric.update(part, truth)
    assert metric.compute().item() == pytest.approx(roc_auc_score(label, score), abs=1e-12)


def test_image_auroc_refuses_wrong_input():
    metric = standard.ImageAUROC()
    with pytest.raises(InputError, match=r"score \(3,\) and label \(2,\)"):
        metric.update(torch.ones(3), torch.ones(2))
    with pytest.raises(InputError, match="score: holds NaN"):
        metric.update(torch.full((2,), torch.nan), torch.ones(2))
    with pytest.raises(InputError, match="label: holds values other than 0 and 1"):
        metric.update(torch.ones(2), torch.tensor([0, 255]))


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_equal_scikit_image(channels):
    restored, clean = images(channels)
    psnr, ssim = standard.psnr(restored, clean), standard.ssim(restored, clean)
    assert psnr.dtype == ssim.dtype == torch.float64
    for i, pair in enumerate(zip(clean.clamp(-1, 1).double(), restored.clamp(-1, 1).double(), strict=True)):
        true, test = (image.numpy() for image in pair)
        assert psnr[i].item() == pytest.approx(peak_signal_noise_ratio(true, test, data_range=2), abs=1e-5)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2}
        expected = structural_similarity(true, test, channel_axis=0, **options)
        assert ssim[i].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("function", [standard.psnr, standard.ssim])
def test_image_metrics_are_means_over_images_not_batches(function):
    restored, clean = images()
    streaming = PerImage("score", function)
    for part in (slice(0, 1), slice(1, 4)):
        streaming.update(restored[part], clean[part])
    assert streaming.compute()["score"].item() == pytest.approx(function(restored, clean).mean().item(), abs=1e-12)


def test_equal_images_have_the_best_scores():
    _, clean = images()
    assert standard.psnr(clean, clean).isposinf().all()
    assert torch.allclose(standard.ssim(clean, clean), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("function", [standard.psnr, standard.ssim])
def test_image_metrics_refuse_wrong_input(function):
    restored, clean = images()
    with pytest.raises(InputError, match=r"clean \(4, 3, 24, 30\)"):
        function(restored, clean[..., 1:])
    with pytest.raises(InputError, match=r"restored \(3, 24, 31\)"):
        function(restored[0], clean[0])


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(InputError, match="at least 11 pixels"):
        standard.ssim(torch.ones(1, 3, 10, 20), torch.ones(1, 3, 10, 20))


def test_scores_of_hole_and_composite_equal_scikit_image():
    restored, clean = images()
    mask = blobs(4)
    observed = clean + 0.1 * mask
    in_hole = standard.psnr_hole(restored, clean, mask)
    shown = (
        standard.psnr_composited(restored, clean, mask, observed),
        standard.ssim_composited(restored, clean, mask, observed),
    )
    assert all(values[0].isnan() for values in (in_hole, *shown))  # no hole
    assert torch.allclose(in_hole[1], standard.psnr(restored, clean)[1])  # nothing but hole
    assert torch.allclose(shown[1][1], standard.ssim(restored, clean)[1])
    for i in (2, 3):
        true, test = clean[i].clamp(-1, 1).double().numpy(), restored[i].clamp(-1, 1).double().numpy()
        hole = np.broadcast_to(mask[i].bool().numpy(), true.shape)
        expected = peak_signal_noise_ratio(true[hole], test[hole], data_range=2)
        assert in_hole[i].item() == pytest.approx(expected, abs=1e-9)
        seen = np.where(hole, test, true)
        assert shown[0][i].item() == pytest.approx(peak_signal_noise_ratio(true, seen, data_range=2), abs=1e-5)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2}
        expected = structural_similarity(true, seen, channel_axis=0, **options)
        assert shown[1][i].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_mask_iou_equals_scikit_learn(channels):
    mask = blobs(5)
    random = torch.Generator().manual_seed(8)
    found = mask + 0.5 * torch.randn(5, channels, *mask.shape[2:], generator=random)
    result = standard.mask_iou(found, mask)
    assert result.dtype == torch.float64
    assert result[0].isnan()
    for i in range(1, 5):
        called = found[i].abs().mean(0) > 0.5
        assert result[i].item() == pytest.approx(jaccard_score(mask[i].flatten(), called.flatten()), abs=1e-12)
    assert standard.mask_iou(mask, mask)[1:].tolist() == [1] * 4
    assert standard.mask_iou(0 * mask, mask)[1:].tolist() == [0] * 4


def test_masks_that_do_not_fit_are_refused():
    restored, clean = images()
    for mask, message in [(blobs(4)[:, 0], r"mask \(4, 24, 31\)"), (blobs(4) / 2, "mask: holds values other than")]:
        with pytest.raises(InputError, match=message):
            standard.psnr_hole(restored, clean, mask)
        with pytest.raises(InputError, match=message):
            standard.psnr_composited(restored, clean, mask, clean)
        with pytest.raises(InputError, match=message):
            standard.mask_iou(clean, mask)
    with pytest.raises(InputError, match="estimated_mask: holds NaN"):
        standard.mask_iou(clean / 0 * 0, blobs(4))


@pytest.mark.parametrize(("device", "computes"), [("cpu", "cpu"), ("cuda:1", "cuda:1"), ("mps", "cpu")])
def test_metrics_need_a_device_with_float64(device, computes):
    assert metric_device(torch.device(device)) == torch.device(computes)
