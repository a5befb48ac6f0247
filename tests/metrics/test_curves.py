"""AUROC, average precision and F1 against scikit-learn, with and without ties."""

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from rgi.errors import InputError
from rgi.metrics import curves


def scores(kind, size=3000, seed=0):
    random = torch.Generator().manual_seed(seed)
    truth = torch.rand(size, generator=random) < 0.2
    score = torch.randn(size, generator=random, dtype=torch.float64) + truth
    return {
        "distinct": score,
        "some ties": score.mul(4).round(),
        "half zero": score.clamp(min=0),
        "one value": torch.full_like(score, 0.3),
        "reversed": -score,
        "two values": (score > 1).double(),
    }[kind], truth


KINDS = ["distinct", "some ties", "half zero", "one value", "reversed", "two values"]


@pytest.mark.parametrize("kind", KINDS)
def test_curves_equal_scikit_learn(kind):
    score, truth = scores(kind)
    values, positives, negatives = curves.levels(score, truth)
    assert curves.auroc(positives, negatives).item() == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    expected = average_precision_score(truth, score)
    assert curves.average_precision(positives, negatives).item() == pytest.approx(expected, abs=1e-12)
    precision, recall, _ = precision_recall_curve(truth, score)
    f1, threshold = curves.best_f1(values, positives, negatives)
    assert f1.item() == pytest.approx((2 * precision * recall / (precision + recall + 1e-300)).max(), abs=1e-12)
    assert f1.item() == pytest.approx(f1_score(truth, score >= threshold), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_order_of_the_scores_counts(kind):
    score, truth = scores(kind)
    shuffled = torch.randperm(len(score))
    plain, moved = curves.levels(score, truth), curves.levels(score[shuffled].mul(3).exp(), truth[shuffled])
    assert torch.equal(curves.auroc(*plain[1:]), curves.auroc(*moved[1:]))
    assert torch.equal(curves.average_precision(*plain[1:]), curves.average_precision(*moved[1:]))
    assert curves.best_f1(*moved)[1] == (3 * curves.best_f1(*plain)[1]).exp()


def test_the_highest_of_equally_good_thresholds_is_returned():
    score, truth = torch.tensor([1.0, 2, 3, 4]), torch.tensor([1, 0, 0, 1])  # F1 is 2/3 at >= 4 and at >= 1
    assert [x.item() for x in curves.best_f1(*curves.levels(score, truth))] == [pytest.approx(2 / 3), 4.0]


@pytest.mark.parametrize("truth", [torch.zeros(5), torch.ones(5), torch.zeros(0)])
def test_nan_without_both_classes(truth):
    values, positives, negatives = curves.levels(torch.arange(len(truth)).float(), truth)
    results = [curves.auroc(positives, negatives), curves.average_precision(positives, negatives)]
    results += curves.best_f1(values, positives, negatives)
    assert all(result.isnan() and result.dtype == torch.float64 and result.ndim == 0 for result in results)


def test_auroc_per_image_equals_scikit_learn():
    anomaly_map = torch.rand(5, 12, 9, generator=torch.Generator().manual_seed(1)).mul(20).round()
    mask = (torch.rand(5, 1, 12, 9, generator=torch.Generator().manual_seed(2)) < 0.3).float()
    mask[1], mask[3] = 0, 1
    result = curves.auroc_per_image(anomaly_map, mask)
    assert result.dtype == torch.float64
    assert result.isnan().tolist() == [False, True, False, True, False]
    for i in (0, 2, 4):
        expected = roc_auc_score(mask[i].flatten(), anomaly_map[i].flatten())
        assert result[i].item() == pytest.approx(expected, abs=1e-12)


def test_auroc_per_image_refuses_wrong_input():
    anomaly_map, mask = torch.rand(2, 4, 4), torch.zeros(2, 1, 4, 4)
    with pytest.raises(InputError, match=r"mask \(2, 4, 4\)"):
        curves.auroc_per_image(anomaly_map, mask[:, 0])
    with pytest.raises(InputError, match="mask: holds values other than 0 and 1"):
        curves.auroc_per_image(anomaly_map, mask + 0.5)
    with pytest.raises(InputError, match="anomaly_map: holds NaN"):
        curves.auroc_per_image(anomaly_map / 0 * 0, mask)
