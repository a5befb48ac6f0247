"""What holds of every baseline: one interface, one result per image whoever its neighbours are, clear refusals."""

import pytest
import torch
from helpers.patterns import clean_images, with_defect
from helpers.tiny_gan import tiny_gan
from scipy import ndimage

from rgi.baselines import baselines, build
from rgi.baselines.base import Prediction
from rgi.baselines.features import critic_features
from rgi.errors import InputError
from rgi.pixels import luminance
from rgi.validation import typed

SMALL = {
    "autoencoder": {"latent_dim": 4, "width": 4, "max_width": 8, "steps": 60},
    "pca": {"components": 4},
    "robust_pca": {"components": 4},
    "padim": {"dimensions": 8},
    "patchcore": {"patches": 300, "candidates": 3000, "projection": 8},
}
RESTORING = {"autoencoder", "mean_image", "pca", "robust_pca"}
NAMES = sorted(baselines())


def small(name, channels=1):
    options = dict(SMALL.get(name, {}))
    if name not in RESTORING:
        options["features"] = critic_features(tiny_gan(channels=channels), [0, 1])
    return build(name, **options)


@pytest.fixture(scope="module")
def fitted():
    """Each baseline, fitted once."""
    return {name: small(name).fit(clean_images()) for name in NAMES}


def test_all_methods_are_there():
    assert NAMES == ["autoencoder", "mean_image", "padim", "patchcore", "pca", "robust_pca"]


@pytest.mark.parametrize("name", NAMES)
def test_result(fitted, name):
    observed = clean_images(5, seed=1)
    found = fitted[name].predict(observed)
    assert found.scores.shape == (5, 32, 32)
    assert found.scores.dtype == torch.float32
    assert (found.scores >= 0).all()
    assert (found.restored is not None) == (name in RESTORING)
    if name in RESTORING:
        assert found.restored.shape == observed.shape
        assert torch.equal(found.scores, luminance(observed - found.restored))
    assert found.seconds > 0
    assert fitted[name].seconds > 0
    assert fitted[name].size > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_see_its_neighbours(fitted, name):
    images = torch.cat([clean_images(3, seed=1), 3 * clean_images(1, seed=2), with_defect(clean_images(3, seed=3))])
    together = fitted[name].predict(images)
    for i in range(len(images)):
        alone = fitted[name].predict(images[i : i + 1])
        torch.testing.assert_close(alone.scores[0], together.scores[i], rtol=1e-5, atol=1e-5)
        if together.restored is not None:
            torch.testing.assert_close(alone.restored[0], together.restored[i], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_fit_gives_the_same_state_whatever_was_drawn_before(fitted, name):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = small(name)
    torch.set_rng_state(before)
    with torch.inference_mode():  # as a trainer may call it
        again.fit(clean_images())
    assert torch.equal(torch.get_rng_state(), before)
    first = fitted[name].state_dict()
    assert first.keys() == again.state_dict().keys()
    for key, value in again.state_dict().items():
        assert torch.equal(value, first[key]), key
        assert not value.is_inference()


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_defect_has_the_largest_score(fitted, name):
    known = clean_images()[:6]  # so that nothing but the defect is new
    scores = fitted[name].predict(with_defect(known)).anomaly_map(sigma=1.0)
    place = scores.flatten(1).argmax(1)
    rows, columns = place // 32, place % 32
    assert ((rows >= 7) & (rows < 17) & (columns >= 17) & (columns < 27)).all()
    untouched = fitted[name].predict(known).anomaly_map(sigma=1.0)
    assert (scores.amax((1, 2)) > untouched.amax((1, 2))).all()


@pytest.mark.parametrize("name", NAMES)
def test_colour_and_double_precision(name):
    torch.manual_seed(0)
    images = clean_images(24, channels=3).double()
    found = small(name, channels=3).fit(images).predict(images[:2])
    assert found.scores.shape == (2, 32, 32)
    assert found.scores.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_prediction_before_the_fit_is_refused(name):
    with pytest.raises(InputError, match="is not fitted"):
        small(name).predict(clean_images(1))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 1, 16, 16), "was fitted to"),
        (torch.zeros(2, 3, 32, 32), "was fitted to"),
        (torch.zeros(1, 32, 32), "pass floating-point"),
        (torch.zeros(0, 1, 32, 32), "pass floating-point"),
        (torch.zeros(1, 1, 32, 32, dtype=torch.uint8), "pass floating-point"),
        (torch.full((1, 1, 32, 32), torch.nan), "observed: has NaN"),
    ],
)
def test_observed_images_that_do_not_fit_are_refused(fitted, bad, message):
    for baseline in fitted.values():
        with pytest.raises(InputError, match=message):
            baseline.predict(bad)


@pytest.mark.parametrize("name", NAMES)
def test_clean_images_that_cannot_be_fitted_are_refused(name):
    baseline = small(name)
    broken = clean_images(8)
    broken[3, 0, 0, 0] = torch.inf
    for bad, message in ((broken, "images: has NaN"), (torch.zeros(8, 32, 32), "pass floating-point")):
        with pytest.raises(InputError, match=message):
            baseline.fit(bad)
    if baseline.min_images > 1:
        with pytest.raises(InputError, match="too few"):
            baseline.fit(clean_images(1))
    with pytest.raises(InputError, match="is not fitted"):
        baseline.predict(clean_images(1))


def test_a_fit_that_fails_forgets_the_one_before():
    baseline = build("pca", components=4).fit(clean_images(8))
    with pytest.raises(InputError, match="components=4"):
        baseline.fit(clean_images(3))
    with pytest.raises(InputError, match="is not fitted"):
        baseline.predict(clean_images(1))


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(("autoencoder", option) for option in ("latent_dim", "width", "max_width", "steps", "batch_size", "lr")),
        ("pca", "components"),
        *(("robust_pca", option) for option in ("components", "penalty", "iterations", "tolerance")),
        *(("padim", option) for option in ("dimensions", "regularisation")),
        *(("patchcore", option) for option in ("patches", "candidates", "projection")),
    ],
)
def test_options_out_of_range_are_refused(name, option):
    features = {} if name in RESTORING else {"features": lambda images: [images]}
    for value in (0, -1, "many", float("nan"), True):
        with pytest.raises(InputError, match=f"^baseline.{option}={typed(value)}: must be "):
            build(name, **features, **{option: value})


def test_unknown_names_and_options_are_refused():
    with pytest.raises(InputError, match="use one of autoencoder, mean_image"):
        build("magic")
    with pytest.raises(InputError, match=r"^baseline\.colour: no such option; use one of components, seed$"):
        build("pca", colour="red")
    with pytest.raises(InputError, match=r"^baseline\.colour: no such option; remove it$"):
        build("mean_image", colour="red")
    with pytest.raises(InputError, match=r"^baseline\.features: not given; add baseline\.features="):
        build("padim")


def test_map():
    scores = torch.rand(2, 9, 9)
    found = Prediction(torch.zeros(2, 1, 9, 9), None, scores, None, 0.0)
    assert found.anomaly_map() is scores
    expected = torch.stack([torch.from_numpy(ndimage.gaussian_filter(one.numpy(), 1.5)) for one in scores])
    torch.testing.assert_close(found.anomaly_map(sigma=1.5), expected)
    for sigma in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="sigma"):
            found.anomaly_map(sigma)


@pytest.mark.parametrize("name", NAMES)
def test_a_dataset_is_fitted_like_its_images(name):
    """The images are no multiple of the part that is in memory at a time."""
    images = clean_images(70)
    one, other = small(name).fit(images), small(name).fit(list(images))
    assert one.fitted_shape == other.fitted_shape == (1, 32, 32)
    assert torch.equal(one.predict(images[:3]).scores, other.predict(images[:3]).scores)
