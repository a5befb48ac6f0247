"""Fit of an active appearance model: warps of the images, and principal components of the aligned images, in turn.

A round finds the codes of all images by inversion, undoes their warps, and takes the principal components anew. The
first rounds have few components, so that the warp explains what it can.
"""

import torch
from torch import Tensor
from tqdm import tqdm

from rgi.errors import InputError
from rgi.generators import pca
from rgi.generators.appearance import CONTROL, Generator, aligned, build
from rgi.generators.store import GAN, Card
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert

COMPONENTS = (8, 24, 48, 64)  # principal components in each round; the last result has as many as there are codes
STEPS = 30  # of the inversion in a round
AFFINE, LOCAL = 0.08, 0.02  # deviations of the first displacements: of affine maps, and of each control point
KEPT = 0.1  # share of the first displacements' variance in all rounds but the last, so that all directions stay open
FIRST_WEIGHT, WEIGHT = 0.05, 3.0  # of |z|² in the first round; in others, in units of the mean squared residual
SOLVER = SolverConfig(
    mask="none", iterations=STEPS, tolerance=None, precision="float32", lr_latent=0.1, pool_size=256, trial_steps=10
)


def fit(images: Tensor, latent_dim: int, shapes: int = 16, rotation: bool = False, seed: int = 0) -> GAN:
    """Fit an active appearance model to images, see `rgi.generators.appearance`.

    Args:
        images: training images (N,C,H,W), H = W.
        latent_dim: number of all codes.
        shapes: number of codes of the shape.
        rotation: whether the images show one object at all angles.
        seed: seed of the randomised principal component analysis, and of the first angles.

    Returns:
        GAN without critic and encoder.

    Raises:
        InputError: the images have another shape, or NaN or infinite values, or are too few for the codes.
    """
    pca.check_images(images)
    count, channels, _, resolution = images.shape
    options = {"shapes": shapes, "rotation": rotation}
    build(latent_dim, channels, resolution, **options)  # checks the number of codes
    components = latent_dim - shapes - 2 * rotation
    if components >= count:
        raise InputError(
            f"generator.latent_dim={latent_dim}: {latent_dim - components} codes are for the warp, and {count} images "
            f"have at most {count - 1} principal components; lower latent_dim, or fit more images"
        )
    first = _first_moment()
    points = len(first)
    model = _model(
        images[0] if rotation else images.mean(0), torch.zeros(1, *images.shape[1:]), first, points, rotation
    )
    start, weight = None, FIRST_WEIGHT
    for number, found in enumerate(tqdm(COMPONENTS, desc="alignment", unit="round", leave=False)):
        start, residual = _codes(model, images, start, weight, seed)
        weight = WEIGHT * residual
        warp = start[:, : 2 * rotation + points]
        straight = torch.cat([aligned(model, *part) for part in zip(images.split(256), warp.split(256), strict=True)])
        last = number == len(COMPONENTS) - 1
        linear = pca.fit(straight, components if last else min(found, components), seed=seed).generator
        mean, basis = linear.mean.view(images.shape[1:]), linear.basis.view(-1, *images.shape[1:])
        displacement = warp[:, 2 * rotation :] @ model.shapes.flatten(1)
        moment = displacement.T @ displacement / count
        if last:
            model = _model(mean, basis, moment, shapes, rotation)
        else:
            model = _model(mean, basis, moment + KEPT * first, points, rotation)
            codes = torch.linalg.lstsq(model.shapes.flatten(1).T, displacement.T).solution.T
            start = torch.cat([warp[:, : 2 * rotation], codes, codes.new_zeros(count, len(basis))], 1)
    card = Card("appearance", latent_dim, channels, resolution, options, seed=seed)
    return GAN(model, None, None, card)


def _first_moment() -> Tensor:
    """Second moments (n,n) of the n values of the first displacements: random affine maps, and noise at the points."""
    line = torch.linspace(-1, 1, CONTROL)
    y, x = torch.meshgrid(line, line, indexing="ij")
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    affine = torch.stack([torch.stack(pair) for each in (x, y, one) for pair in ((each, zero), (zero, each))])
    affine = affine.flatten(1)
    return AFFINE**2 * affine.T @ affine + LOCAL**2 * torch.eye(affine.shape[1])


def _model(mean: Tensor, basis: Tensor, moment: Tensor, shapes: int, rotation: bool) -> Generator:
    """A generator whose shapes are the principal axes of displacements with these second moments."""
    variance, axes = torch.linalg.eigh(moment)
    scaled = (axes * variance.clamp(min=0).sqrt()).T.flip(0)[:shapes]
    model = Generator(len(basis), len(mean), mean.shape[1], shapes, rotation)
    state = {"mean": mean, "basis": basis, "shapes": scaled.unflatten(1, (2, CONTROL, CONTROL))}
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def _codes(model: Generator, images: Tensor, start: Tensor | None, weight: float, seed: int) -> tuple[Tensor, float]:
    """Codes (N,d) of the images, and their mean squared residual; from a pool without a start."""
    gan = GAN(model, None, None, Card("appearance", model.latent_dim, *model.mean.shape[:2]))
    config = SOLVER.replace(latent_weight=weight)
    if start is None and not model.rotation:
        start = images.new_zeros(len(images), model.latent_dim)
    if start is not None:
        config = config.replace(latent_start="given", latent_basis="standard")
    result = invert(gan, images, config, latent_start=start, seed=seed)
    return result.latent, (result.observed - result.restored).square().mean().item()
