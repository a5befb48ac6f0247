"""The inversion gap means what it says, and a bar shows where a training is."""

import numpy as np
import pytest
import torch
from helpers.patterns import clean_images
from helpers.tiny_gan import tiny_gan
from PIL import Image

from rgi.generators import pca
from rgi.training.judging import defect_aurocs, inversion_gap, save_sheet


def test_what_the_generator_makes_has_no_gap_and_what_it_cannot_has_one():
    gan = tiny_gan()
    own = gan.generator(torch.randn(8, gan.card.latent_dim, generator=torch.Generator().manual_seed(7)))
    noise = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(8))
    assert inversion_gap(gan, own) < 0.25 * own.std()
    assert inversion_gap(gan, noise) > 0.8


def test_the_gap_is_a_root_mean_square(monkeypatch):
    """Of a generator that makes nearly one image whatever the code, it is that image's distance."""
    gan = tiny_gan()
    image = gan.generator(torch.zeros(1, gan.card.latent_dim))
    gan.generator.forward = lambda z: image + 1e-5 * z[:, :1, None, None]
    clean = torch.stack([image[0] + 0.3, image[0] - 0.1])
    assert inversion_gap(gan, clean) == pytest.approx(((0.09 + 0.01) / 2) ** 0.5, rel=1e-3)


def test_defects_stand_out_the_more_the_higher_their_contrast():
    """Of a generator that knows the clean images; one that explains all images explains the defects, too."""
    clean = clean_images(60, seed=3)
    knows = pca.fit(clean[:40], 6)
    found = defect_aurocs(knows, clean[40:52])
    assert list(found) == ["defect_auroc_faint", "defect_auroc_plain", "defect_auroc_gross"]
    assert 0.6 < found["defect_auroc_faint"] < found["defect_auroc_plain"] < found["defect_auroc_gross"]
    assert found == defect_aurocs(knows, clean[40:52])
    explains_all = pca.fit(torch.randn(2000, 1, 32, 32, generator=torch.Generator().manual_seed(0)), 1024)
    assert all(score < found[level] - 0.1 for level, score in defect_aurocs(explains_all, clean[40:52]).items())


@pytest.mark.parametrize(("count", "shape"), [(16, (64, 256)), (3, (32, 96)), (20, (64, 256))])
def test_sheets(count, shape, tmp_path):
    """Eight in a row, rows that are not full left out."""
    save_sheet(torch.linspace(-1, 1, count)[:, None, None, None].expand(count, 1, 32, 32), tmp_path / "new" / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "new" / "a.png"))
    assert pixels.shape == shape
    assert pixels[0, 0] == 0
    assert pixels[0, 32] == round(255 / (count - 1))
