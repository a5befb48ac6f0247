import numpy as np
import pytest
import torch
from helpers.patterns import clean_images
from scipy.spatial.distance import cdist
from torch.nn.functional import avg_pool2d, interpolate

from rgi.baselines import patchcore
from rgi.baselines.features import embed
from rgi.baselines.patchcore import PatchCore, greedy_coreset, image_score, nearest


def halves(images):
    """Two maps, at a half and a quarter of the resolution."""
    return [avg_pool2d(torch.cat([images, images.roll(3, 2)], 1), 2), avg_pool2d(images, 4)]


def test_the_map_is_the_nearest_neighbours_distance_when_the_bank_is_everything():
    clean, observed = clean_images(6), clean_images(40, seed=1)[-3:]

    def rows(images):
        maps = [avg_pool2d(x, 3, 1, 1) for x in halves(images)]
        joint = torch.cat([maps[0], interpolate(maps[1], (16, 16), mode="bilinear")], 1)
        return joint.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()

    baseline = PatchCore(halves, patches=10_000).fit(clean)
    assert baseline.bank.shape == (6 * 256, 3)
    nearest = cdist(rows(observed), rows(clean)).min(1).reshape(3, 1, 16, 16)
    expected = interpolate(torch.from_numpy(nearest), (32, 32), mode="bilinear")[:, 0]
    np.testing.assert_allclose(baseline.predict(observed).scores.numpy(), expected.numpy(), atol=1e-5)
    assert baseline.predict(clean).scores.max() < 1e-5


def test_candidates_are_distinct_patches_of_all_images(monkeypatch):
    monkeypatch.setattr(patchcore, "NEIGHBOURHOOD", 1)
    clean = torch.arange(50 * 16, dtype=torch.float32).view(50, 1, 4, 4)  # more than are embedded at once
    bank = PatchCore(lambda x: [x], candidates=300).fit(clean).bank.flatten()
    assert len(bank.unique()) == 300
    assert set(bank.tolist()) <= set(clean.flatten().tolist())
    assert bank.min() < 80
    assert bank.max() > 720
    assert len(PatchCore(lambda x: [x], patches=20, candidates=300).fit(clean).bank) == 20


def test_each_of_a_coreset_is_the_farthest_from_those_before():
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    chosen = greedy_coreset(points, 20, 128, torch.Generator().manual_seed(1)).tolist()
    distances = cdist(points, points)
    assert len(set(chosen)) == 20
    for i in range(1, 20):
        reach = distances[:, chosen[:i]].min(1)
        assert reach[chosen[i]] == reach.max()


def test_projected_coresets_cover_nearly_as_well():
    points = torch.randn(400, 200, generator=torch.Generator().manual_seed(0))
    points *= torch.logspace(0, -3, 200)  # few directions matter, as in features

    def radius(projection):
        chosen = greedy_coreset(points, 40, projection, torch.Generator().manual_seed(1))
        return torch.cdist(points, points[chosen]).amin(1).max()

    assert radius(64) < 1.3 * radius(1000)


def test_small_distances_keep_their_digits():
    random = torch.Generator().manual_seed(0)
    bank = 1000 + torch.randn(50, 20, generator=random)
    queries = bank[:7] + 1e-2
    distance, index = nearest(queries, bank)
    torch.testing.assert_close(distance, torch.full((7,), 1e-2 * 20**0.5), rtol=2e-2, atol=0)
    assert index.tolist() == list(range(7))
    assert torch.equal(nearest(bank, bank)[0], torch.zeros(50))


def test_the_score_of_an_image_is_the_papers():
    """Equation (7) as it is written, in float64."""
    clean, observed = clean_images(6), clean_images(9, seed=1)[-3:]
    baseline = PatchCore(halves, patches=60).fit(clean)
    bank = baseline.bank.double().numpy()
    found = baseline.predict(observed)
    (joint,) = embed(halves, observed, mode="bilinear", neighbourhood=3)
    for image, score in zip(joint.double().numpy(), found.image_scores, strict=True):
        distances = cdist(image.reshape(3, -1).T, bank)
        patch = distances.min(1).argmax()
        member = distances[patch].argmin()
        around = cdist(bank[member][None], bank)[0].argsort()[:9]
        weight = 1 - np.exp(distances[patch, member]) / np.exp(distances[patch, around]).sum()
        assert score.item() == pytest.approx(weight * distances[patch, member], rel=1e-4)


def test_a_patch_in_a_crowd_counts_for_less_than_a_lonely_one():
    crowd, lonely = torch.zeros(12, 2), torch.tensor([[9.0, 0.0]])
    bank = torch.cat([crowd + torch.arange(12)[:, None] * 1e-3, lonely, lonely + 40])
    scores = []
    for patch in (torch.tensor([[0.0, 3.0]]), torch.tensor([[9.0, 3.0]])):
        scores.append(image_score(patch, *nearest(patch, bank), bank).item())
    assert scores[0] < 0.95 * scores[1] < 3
    assert image_score(patch, *nearest(patch, lonely), lonely) == 3
