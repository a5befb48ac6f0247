"""python experiments/generators/gaps.py: the shipped generators against principal components of the training images.

Each generator inverts held-out clean images without a mask. The same images are projected on as many principal
components of the training images as the generator has codes. The script writes gaps.csv, with the scores of the card.
"""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from rgi import SolverConfig, invert, load_gan
from rgi.app.grid import compose
from rgi.app.options import make
from rgi.data.protocol import stack_images
from rgi.generators import pca
from rgi.generators.store import GAN

HERE = Path(__file__).resolve().parent
SETS = {  # generator: options of its dataset
    "magnetic_tile-tile-64": ["dataset=magnetic_tile"],
    "mvtec_ad-screw-64": ["dataset=mvtec_ad"],
    "textures-brick-64": ["dataset=textures", "dataset.category=brick"],
    "textures-grass-64": ["dataset=textures", "dataset.category=grass"],
    "textures-gravel-64": ["dataset=textures", "dataset.category=gravel"],
    "celeba-faces-64": ["dataset=celeba"],
    "stanford_cars-cars-64": ["dataset=stanford_cars"],
    "lsun_bedroom-bedrooms-64": ["dataset=lsun_bedroom"],
    "magnetic_tile-tile-128": ["dataset=magnetic_tile", "dataset.resolution=128"],
    "mvtec_ad-screw-128": ["dataset=mvtec_ad", "dataset.resolution=128"],
}
CARD = ("swd", "precision", "recall", "copies", "defect_auroc_faint", "defect_auroc_plain", "defect_auroc_gross")
IMAGES, MOST = 32, 5000  # held-out images, and highest number of training images
PLAIN = SolverConfig(mask="none", iterations=100, tolerance=None, precision="float32", latent_start="pool")


def root_mean_square(residual: Tensor) -> float:
    """Root mean square of a residual of any shape."""
    return residual.square().mean().sqrt().item()


def inversion_gap(gan: GAN, held_out: Tensor) -> float:
    """Root mean square of x - G(z) after a plain inversion of held-out images."""
    result = invert(gan, held_out, PLAIN)
    return root_mean_square(result.observed - result.restored)


def projection_gap(clean: Tensor, held_out: Tensor, components: int) -> float:
    """Root mean square of what principal components of the training images leave of held-out images."""
    linear = pca.fit(clean, min(components, len(clean) - 1)).generator
    centred, (basis, _) = held_out.flatten(1) - linear.mean, torch.linalg.qr(linear.basis.T)
    return root_mean_square(centred - centred @ basis @ basis.T)


def main() -> None:
    """Measure all generators."""
    rows = []
    for name, options in tqdm(SETS.items()):
        images, gan = make(compose(*options), "dataset"), load_gan(name)
        clean, held_out = stack_images(images.train(), MOST), stack_images(images.validation(), IMAGES)
        found, projected = inversion_gap(gan, held_out), projection_gap(clean, held_out, gan.card.latent_dim)
        quality = {key: gan.card.quality.get(key) for key in CARD}
        rows.append(
            {
                "generator": name,
                "family": gan.card.family,
                "latent_dim": gan.card.latent_dim,
                "gap": found,
                "pca_gap": projected,
                "ratio": found / projected,
                **quality,
            }
        )
        pd.DataFrame(rows).round(4).to_csv(HERE / "gaps.csv", index=False)


if __name__ == "__main__":
    main()
