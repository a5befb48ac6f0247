import numpy as np
import torch
from helpers.patterns import clean_images
from scipy.spatial.distance import cdist
from torch.nn.functional import avg_pool2d, interpolate

from rgi.baselines import patchcore
from rgi.baselines.patchcore import PatchCore, greedy_coreset, nearest_distance


def halves(images):
    """Two maps, at a half and a quarter of the resolution."""
    return [avg_pool2d(torch.cat([images, images.roll(3, 2)], 1), 2), avg_pool2d(images, 4)]


def test_the_map_is_the_nearest_neighbours_distance_when_the_bank_is_everything():
    clean, observed = clean_images(6), clean_images(40, seed=1)[-3:]

    def rows(images):
        maps = [avg_pool2d(x, 3, 1, 1, count_include_pad=False) for x in halves(images)]
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
    torch.testing.assert_close(nearest_distance(queries, bank), torch.full((7,), 1e-2 * 20**0.5), rtol=2e-2, atol=0)
    assert torch.equal(nearest_distance(bank, bank), torch.zeros(50))
