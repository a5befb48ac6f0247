import numpy as np
import pytest
import torch
from helpers.patterns import DEFECT, clean_images, with_defect
from scipy.optimize import minimize
from sklearn.decomposition import PCA as ScikitPCA

from rgi.baselines.mean_image import MeanImage
from rgi.baselines.pca import PCA
from rgi.baselines.robust_pca import RobustPCA, robust_coefficients
from rgi.errors import InputError


def planted(count=6, size=400, rank=5, corrupted=0.2, seed=0):
    """Targets (count,size) in the span of an orthonormal basis, of which a part of the entries is overwritten."""
    random = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(size, rank, generator=random)).Q.T
    coefficients = 3 * torch.randn(count, rank, generator=random)
    where = torch.rand(count, size, generator=random) < corrupted
    gross = 5 * torch.randn(count, size, generator=random)
    return coefficients @ basis + where * gross, basis, coefficients, where


def test_mean_image():
    clean, observed = clean_images(), clean_images(3, seed=1)
    found = MeanImage().fit(clean).predict(observed)
    torch.testing.assert_close(found.restored, clean.mean(0).expand_as(observed))
    torch.testing.assert_close(found.scores, (observed - clean.mean(0)).abs()[:, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_pca_is_scikit_learns_reconstruction(channels):
    clean, observed = clean_images(channels=channels), with_defect(clean_images(3, seed=1, channels=channels))
    reference = ScikitPCA(4, svd_solver="full").fit(clean.flatten(1).numpy())
    expected = reference.inverse_transform(reference.transform(observed.flatten(1).numpy())).reshape(observed.shape)
    found = PCA(4).fit(clean).predict(observed)
    np.testing.assert_allclose(found.restored.numpy(), expected, atol=1e-4)


def test_components_without_variance_do_nothing():
    clean = clean_images(noise=0.0)  # of rank 4
    found = PCA(8).fit(clean)
    torch.testing.assert_close(found.predict(clean).restored, clean, rtol=0, atol=1e-4)
    assert found.predict(clean_images(2, seed=1)).restored.isfinite().all()


@pytest.mark.parametrize("method", [PCA, RobustPCA])
def test_more_components_than_the_images_span_are_refused(method):
    with pytest.raises(InputError, match=r"components=5: 5 images of 1024 values span 4"):
        method(5).fit(clean_images(5))


def test_the_objective_never_rises():
    target, basis, _, _ = planted(corrupted=0.4)
    target = target + 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    _, history = robust_coefficients(target.double(), basis.double(), 0.05, 2000, 1e-9)
    assert len(history) > 20
    change = history[1:] - history[:-1]
    assert (change[~change.isnan()] <= 1e-12).all()  # rounding
    assert (change[0] < 0).all()


def test_the_result_minimises_hubers_loss():
    """Another algorithm, on the problem without S, finds nothing better."""
    target, basis, _, _ = planted(count=1, size=60, rank=3, corrupted=0.3)
    target, basis, penalty = target.double(), basis.double(), 0.3
    found, history = robust_coefficients(target, basis, penalty, 5000, 1e-10)

    def loss(coefficients):
        error = np.abs(target[0].numpy() - coefficients @ basis.numpy())
        return np.where(error < penalty, error**2 / 2, penalty * (error - penalty / 2)).sum()

    best = minimize(loss, np.zeros(3), method="Powell", options={"xtol": 1e-10, "ftol": 1e-14})
    assert history[-1].item() == pytest.approx(best.fun, rel=1e-9)
    np.testing.assert_allclose(found[0].numpy(), best.x, atol=1e-4)


def test_gross_sparse_corruption_is_removed_exactly_in_the_limit():
    """The error falls in proportion to the penalty, and what is left over is the corrupted set."""
    target, basis, truth, where = (x.double() if x.is_floating_point() else x for x in planted())
    errors = []
    for penalty in (0.1, 0.01, 0.001):
        found, _ = robust_coefficients(target, basis, penalty, 20_000, 1e-12)
        errors.append((found - truth).abs().max().item())
    assert errors[0] < 0.5
    assert errors[2] < 1e-2
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.6)
    assert errors[2] == pytest.approx(errors[1] / 10, rel=0.6)
    sparse = (target - found @ basis).abs() > 0.01
    assert (sparse == where & ((target - truth @ basis).abs() > 0.01)).float().mean() > 0.999
    assert (target @ basis.T - truth).abs().max() > 1  # what least squares makes of it


def test_without_corruption_it_is_the_projection():
    clean = clean_images()
    observed = clean_images(3, seed=1)
    robust, plain = RobustPCA(4, penalty=1.0).fit(clean), PCA(4).fit(clean)
    torch.testing.assert_close(robust.predict(observed).restored, plain.predict(observed).restored)


def test_it_restores_what_a_defect_covers():
    clean = clean_images(3, seed=1, noise=0.0)
    observed = clean.clone()
    observed[DEFECT] = 3.0
    errors = {
        method: (method(4).fit(clean_images()).predict(observed).restored - clean).abs().amax().item()
        for method in (PCA, RobustPCA)
    }
    assert errors[PCA] > 0.3
    assert errors[RobustPCA] < 0.1


def test_an_image_that_has_settled_leaves():
    target, basis, _, _ = planted(count=2)
    target[1] = 0
    found, history = robust_coefficients(target, basis, 0.05, 1000, 1e-5)
    assert history[1:, 1].isnan().all()
    assert not history[:, 0].isnan().any()
    assert torch.equal(found[1], torch.zeros(5))
