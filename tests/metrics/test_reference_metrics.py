"""The reference protocol against golden numbers of the authors' code, and against its definition."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from rgi.errors import InputError
from rgi.metrics import reference

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    arrays = {name: torch.from_numpy(value) for name, value in np.load(GOLDEN / "inversion.npz").items()}
    return arrays, json.loads((GOLDEN / "metrics.json").read_text())


@pytest.mark.parametrize("name", ["psnr", "ssim", "auroc", "dice"])
def test_scores_equal_the_authors_numbers(golden, name):
    arrays, expected = golden
    if name in ("psnr", "ssim"):
        pair = arrays["inpaint_rgi_l2_frozen.restored"], arrays["clean"]
    else:
        pair = arrays["anomaly_rgi_l2.mask"], arrays["true_mask"][:, 0]
    result = getattr(reference, name)(*pair)
    assert result.dtype == torch.float64
    assert result.tolist() == pytest.approx(expected[name], abs=1e-4)


def pairs(channels, height=17, width=40, count=3):
    random = torch.Generator().manual_seed(0)
    first = torch.randn(count, channels, height, width, generator=random)
    return first, first + 0.4 * torch.randn(first.shape, generator=random)


def masks(channels, gray=True):
    """A noisy mask of either sign, and a true mask with values between 0 and 1."""
    random = torch.Generator().manual_seed(1)
    truth = (torch.rand(3, 20, 33, generator=random) - 0.5).mul(3).clamp(0, 1)
    truth = truth if gray else truth.round()
    return truth[:, None] * 0.4 + 0.2 * torch.randn(3, channels, 20, 33, generator=random), truth


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_ignores_gain_and_offset_of_an_image(channels):
    restored, clean = pairs(channels)
    plain = reference.psnr(restored, clean)
    assert torch.allclose(reference.psnr(3 * restored - 1, 0.2 * clean + 5), plain, atol=1e-4)
    assert torch.allclose(reference.psnr(restored.repeat(1, 1, 2, 2), clean.repeat(1, 1, 2, 2)), plain)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_a_loop_over_windows(channels):
    restored, clean = pairs(channels, height=7, width=13, count=1)
    line = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    x, y = (np.pad(image[0].double().numpy(), ((0, 0), (5, 5), (5, 5))) for image in (restored, clean))
    values = []
    for channel, row, column in np.ndindex(channels, 7, 13):
        a, b = (image[channel, row : row + 11, column : column + 11] for image in (x, y))
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        variances = (window * a * a).sum() - mean_a**2 + (window * b * b).sum() - mean_b**2
        covariance = (window * a * b).sum() - mean_a * mean_b
        values.append((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4))
        values[-1] /= (mean_a**2 + mean_b**2 + 1e-4) * (variances + 9e-4)
    assert reference.ssim(restored, clean).item() == pytest.approx(np.mean(values), abs=1e-10)


def score_of(mask):
    weights = [0.2989, 0.5870, 0.1140] if len(mask) == 3 else [1.0]
    return sum(weight * channel.double().abs().numpy() for weight, channel in zip(weights, mask, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_auroc_equals_scikit_learn(channels):
    mask, truth = masks(channels)
    expected = [
        roc_auc_score(t.round().flatten(), score_of(m).flatten()) for m, t in zip(mask, truth.double(), strict=True)
    ]
    assert reference.auroc(mask, truth).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gray", [False, True])
def test_dice_is_the_highest_value_over_all_thresholds(channels, gray):
    mask, truth = masks(channels, gray)
    for m, t, result in zip(mask, truth.double().numpy(), reference.dice(mask, truth), strict=True):
        score = score_of(m)
        score = (score - score.min()) / (score.max() - score.min() + 1e-10)
        sweep = [
            2 * ((score > k / 100) & (t > k / 100)).sum() / ((score > k / 100).sum() + (t > k / 100).sum() + 1e-6)
            for k in range(101)
        ]
        assert result.item() == pytest.approx(max(sweep), abs=1e-9)


def test_scores_of_an_image_do_not_depend_on_the_batch():
    for function, pair in [
        (reference.psnr, pairs(3)),
        (reference.ssim, pairs(3)),
        (reference.auroc, masks(3)),
        (reference.dice, masks(3)),
    ]:
        alone = torch.cat([function(*(x[i : i + 1] for x in pair)) for i in range(3)])
        assert torch.allclose(function(*pair), alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_true_mask_has_auroc_nan_and_dice_0(value):
    mask, truth = masks(3)
    truth[1] = value
    assert reference.auroc(mask, truth).isnan().tolist() == [False, True, False]
    assert reference.dice(mask, truth)[1] == 0


@pytest.mark.parametrize("function", [reference.psnr, reference.ssim])
def test_images_of_other_shapes_are_refused(function):
    restored, clean = pairs(3)
    with pytest.raises(InputError, match=r"clean \(2, 3, 17, 40\)"):
        function(restored, clean[:2])
    with pytest.raises(InputError, match="has 2 channels; pass one or three"):
        function(restored[:, :2], clean[:, :2])


@pytest.mark.parametrize("function", [reference.auroc, reference.dice])
def test_wrong_masks_are_refused(function):
    mask, truth = masks(3)
    with pytest.raises(InputError, match=r"true_mask \(3, 1, 20, 33\)"):
        function(mask, truth[:, None])
    with pytest.raises(InputError, match="has 2 channels; pass one or three"):
        function(mask[:, :2], truth)
    with pytest.raises(InputError, match="mask: holds NaN"):
        function(mask / 0 * 0, truth)
    with pytest.raises(InputError, match=r"true_mask: holds values outside \[0,1\]"):
        function(mask, 255 * truth)
