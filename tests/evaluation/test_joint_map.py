"""Painted defects choose between the combined map and one of its feature maps."""

import math
from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from rgi.evaluation import joint_map
from rgi.evaluation.joint_map import JointMap, best_for_painted
from rgi.inversion.maps import CleanStatistics

SIZE, SIGMA = 16, 1.0


class Seen:
    """A part whose map is a channel of the images."""

    channel = 0

    def predict(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(scores=images[:, self.channel])


class SeenToo(Seen):
    channel = 1


def noise(count: int, channels: int) -> Tensor:
    return torch.rand(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(count))


def statistics(counted: Tensor | None = None) -> CleanStatistics:
    clean = noise(5, 3)
    parts = [(Seen(), 2.0), (SeenToo(), 1.0)]
    return CleanStatistics(clean, clean[:, 2], JointMap(parts), counted)


def painted(where: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Images with a defect that these channels show, residuals (the channel 2) and masks."""
    observed, masks = noise(40, 3), torch.zeros(40, SIZE, SIZE)
    masks[:, 4:8, 6:12] = 1
    for channel in where:
        observed[:, channel] += 0.5 * masks
    return observed, observed[:, 2], masks


@pytest.mark.parametrize(
    ("where", "best"), [((2,), "combined"), ((0, 2), "combined"), ((0,), "Seen"), ((1,), "SeenToo")]
)
def test_the_map_that_ranks_painted_pixels_best_is_chosen(where, best):
    clean, (observed, residuals, masks) = statistics(), painted(where)
    chosen, scores = best_for_painted(clean, observed, residuals, masks, SIGMA)
    assert list(scores) == ["combined", "Seen", "SeenToo"]
    assert max(scores, key=scores.get) == best
    found = chosen.combined(observed, residuals, SIGMA)
    assert scores[best] == pytest.approx(roc_auc_score(masks.flatten(), found.flatten()), abs=1e-9)
    assert (chosen is clean) == (best == "combined")
    if best != "combined":
        assert chosen.feature_map.name == best
        assert found.equal(chosen.combined(observed, torch.rand_like(residuals), SIGMA))  # no residual any more


def test_a_part_must_be_better_by_the_margin(monkeypatch):
    clean, images = statistics(), painted((0,))
    _, scores = best_for_painted(clean, *images, SIGMA)
    better = scores["Seen"] - scores["combined"]
    for margin, stays in ((better + 1e-6, True), (better - 1e-6, False)):
        monkeypatch.setattr(joint_map, "MARGIN", margin)
        assert (best_for_painted(clean, *images, SIGMA)[0] is clean) == stays


def test_only_pixels_that_count_choose():
    """Inside the region the residual shows the defect, and outside the feature map alone."""
    counted = torch.zeros(1, SIZE, SIZE)
    counted[:, :, :9] = 1
    observed, residuals, masks = painted((0,))
    residuals = residuals + 5 * masks * counted - 5 * masks * (1 - counted)
    region, everywhere = (best_for_painted(statistics(part), observed, residuals, masks, 0) for part in (counted, None))
    assert max(region[1], key=region[1].get) == "combined"
    assert max(everywhere[1], key=everywhere[1].get) == "Seen"


def test_without_a_painted_pixel_the_combined_map_stays():
    clean, (observed, residuals, masks) = statistics(), painted((0,))
    chosen, scores = best_for_painted(clean, observed, residuals, 0 * masks, SIGMA)
    assert chosen is clean
    assert all(math.isnan(score) for score in scores.values())
