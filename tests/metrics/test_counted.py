"""Pixels that do not count change no score of a map: scores are those of the rest alone."""

import pytest
import torch
from helpers.tiny_gan import tiny_gan
from helpers.two_processes import use_few_octaves

from rgi.evaluation.clean_residuals import clean_residuals
from rgi.inversion.config import SolverConfig
from rgi.inversion.maps import CleanStatistics
from rgi.metrics.curves import auroc_per_image
from rgi.metrics.protocols import Scores


@pytest.fixture
def case():
    """Maps and masks (3,1,12,12) of which the right half counts; one defect crosses the border, one lies outside."""
    random = torch.Generator().manual_seed(0)
    maps, masks = torch.rand(3, 12, 12, generator=random), torch.zeros(3, 1, 12, 12)
    masks[0, 0, 2:5, 3:9], masks[0, 0, 8:10, 8:11], masks[1, 0, 1:3, 1:3] = 1, 1, 1
    counted = torch.zeros(3, 1, 12, 12)
    counted[..., 6:] = 1
    images = torch.rand(3, 1, 12, 12, generator=random)
    return maps, masks, counted, images


def scores_of(maps, masks, images, **options):
    scores = Scores(threshold=0.5)
    restored = images.roll(1, 0)
    scores.update(anomaly_map=maps, restored=restored, observed=images, true_mask=masks, paper_map=maps, **options)
    return scores.compute()


def test_scores_are_those_of_the_region_alone(case, monkeypatch):
    use_few_octaves(monkeypatch.setattr, coarse_bits=3)
    maps, masks, counted, images = case
    found = scores_of(maps, masks, images, counted=counted)
    alone = scores_of(maps[..., 6:], masks[..., 6:], images[..., 6:])
    pooled = [name for name in alone if "pixel" in name or "pro" in name or "f1" in name or "threshold" in name]
    assert len(pooled) > 12
    for name in [*pooled, "standard/image_auroc"]:
        torch.testing.assert_close(found[name], alone[name], equal_nan=True, msg=name)
    assert not {"reference/auroc", "reference/dice", "standard/mask_iou"} & found.keys()
    inside = auroc_per_image(maps, masks, counted)
    torch.testing.assert_close(inside, auroc_per_image(maps[..., 6:], masks[..., 6:]), equal_nan=True)


def test_statistics_of_clean_images_are_those_of_the_region(case):
    residuals, _, counted, images = case
    region = counted[0]
    other = torch.where(region[0] != 0, residuals, 50.0)

    def features(observed):
        return observed[:, 0]

    one, two = (CleanStatistics(images, each, [features], counted=region) for each in (residuals, other))
    found = [each.combined(images, residuals, 0)[:, :, 6:] for each in (one, two)]
    torch.testing.assert_close(*found)
    assert not torch.allclose(
        found[0], CleanStatistics(images, other, [features]).combined(images, residuals, 0)[:, :, 6:]
    )


def test_residuals_are_those_of_the_region():
    gan, images = tiny_gan(), torch.zeros(2, 1, 32, 32)
    images[..., :16] = 9  # nothing that the generator could make
    region = torch.zeros(1, 32, 32)
    region[..., 16:] = 1
    config = SolverConfig(iterations=1, pool_size=8)
    levels = clean_residuals(gan, images, config), clean_residuals(gan, images, config, counted=region)
    assert levels[0].residuals["0.99"] > 5 > levels[1].residuals["0.999"]
