"""Fit of an active appearance model: warps of the images, and principal components of the aligned images, in turn.

A round finds the codes of all images by inversion, and undoes their warps. The next round begins with the principal
components of the straight images. The rounds have few components, so that the warp explains what it can.
"""

import torch
from torch import Tensor
from tqdm import tqdm

from rgi.errors import InputError
from rgi.generators import pca
from rgi.generators.appearance import CONTROL, Generator, aligned, build, subsampled
from rgi.generators.store import GAN, Card
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert
from rgi.training.copies import MIRRORS, Flip, with_copies
from rgi.validation import Index, check

COMPONENTS = (8, 24, 48)  # principal components in each round after the first, which has the mean or one image alone
STEPS = 30  # of the inversion in a round
AFFINE, LOCAL = 0.08, 0.02  # deviations of the first displacements: of affine maps, and of each control point
KEPT = 0.1  # share of the first displacements' variance that all rounds keep, so that all directions stay open
FIRST_WEIGHT, WEIGHT = 0.05, 3.0  # of |z|² in the first round; in others, in units of the mean squared residual
SOLVER = SolverConfig(
    mask="none", iterations=STEPS, tolerance=None, precision="float32", lr_latent=0.1, pool_size=256, trial_steps=STEPS
)


def fit(
    images: Tensor,
    latent_dim: int,
    shapes: int = 16,
    rotation: bool = False,
    chroma_subsampling: int = 1,
    copies: int = 0,
    flip: Flip = "none",
    seed: int = 0,
) -> GAN:
    """Fit an active appearance model to images, see `rgi.generators.appearance`.

    Args:
        images: training images (N,C,H,W), H = W.
        latent_dim: number of all codes.
        shapes: number of codes of the shape.
        rotation: whether the images show one object at all angles.
        chroma_subsampling: side in pixels of the squares that share the colour differences of a component.
        copies: number of moved copies of the aligned images that the components describe, too, see `with_copies`.
        flip: whether mirrored images are added, see `with_copies`.
        seed: seed of the randomised principal component analysis, of the first angles, and of the copies.

    Returns:
        GAN without critic and encoder.

    Raises:
        InputError: the images have another shape, or NaN or infinite values, or are too few for the codes.
    """
    check("generator.fit.copies", copies, Index)
    check("generator.fit.flip", flip, Flip)
    pca.check_images(images)
    count, channels, _, resolution = images.shape
    options = {"shapes": shapes, "rotation": rotation, "chroma_subsampling": chroma_subsampling}
    build(latent_dim, channels, resolution, **options)  # checks the number of codes
    warp = shapes + 2 * rotation
    components = latent_dim - warp
    added = copies or count * len(MIRRORS[flip])
    if components >= count + added:
        used = f"{warp} codes are for the warp, and " if warp else ""
        found = f"{count} images and {added} copies have" if added else f"{count} images have"
        raise InputError(
            f"generator.latent_dim={latent_dim}: {used}{found} at most "
            f"{count + added - 1} principal components; lower latent_dim, or fit more images"
        )
    straight, moment = _align(images, components, rotation, seed) if warp else (images, _first_moment())
    mean, basis = _components(with_copies(straight, copies, flip, seed), components, seed, chroma_subsampling)
    model = _model(mean, basis, moment, shapes, rotation, chroma_subsampling)
    card = Card("appearance", latent_dim, channels, resolution, options, seed=seed)
    return GAN(model, None, None, card)


def _align(images: Tensor, components: int, rotation: bool, seed: int) -> tuple[Tensor, Tensor]:
    """The images without their warps, and the second moments (n,n) of the displacements."""
    count, first = len(images), _first_moment()
    points = len(first)
    start = images[0] if rotation else images.mean(0)
    model = _model(start, [torch.zeros(1, *images.shape[1:])], first, points, rotation)
    codes, weight = None, FIRST_WEIGHT
    for found in tqdm((*COMPONENTS, None), desc="alignment", unit="round", leave=False):
        codes, residual = _codes(model, images, codes, weight, seed)
        weight = WEIGHT * residual
        warp = codes[:, : 2 * rotation + points]
        straight = torch.cat([aligned(model, *part) for part in zip(images.split(256), warp.split(256), strict=True)])
        displacement = warp[:, 2 * rotation :] @ model.shapes.flatten(1)
        moment = displacement.T @ displacement / count
        if found is not None:
            mean, basis = _components(straight, min(found, components), seed)
            model = _model(mean, basis, moment + KEPT * first, points, rotation)
            shape = torch.linalg.lstsq(model.shapes.flatten(1).T, displacement.T).solution.T
            codes = torch.cat([warp[:, : 2 * rotation], shape, codes.new_zeros(count, len(model.basis))], 1)
    return straight, moment


def _components(images: Tensor, count: int, seed: int, chroma_subsampling: int = 1) -> tuple[Tensor, list[Tensor]]:
    """Mean (C,H,W) of images, and their principal components: the basis and, if it is subsampled, the chroma."""

    def parts(some: Tensor) -> list[Tensor]:
        """The images as they are stored; a coarse value counts for all its pixels."""
        stored = (part for part in subsampled(some, chroma_subsampling) if part is not None)
        return [part * (images.shape[2] / part.shape[2]) for part in stored]

    vectors = torch.cat([torch.cat([part.flatten(1) for part in parts(some)], 1) for some in images.split(256)])
    _, components = pca.principal_components(vectors, count, seed)
    sizes = [part.shape[1:] for part in parts(images[:1])]
    pieces = zip(components.split([size.numel() for size in sizes], 1), sizes, strict=True)
    return images.mean(0), [piece.unflatten(1, size) / (images.shape[2] / size[1]) for piece, size in pieces]


def _first_moment() -> Tensor:
    """Second moments (n,n) of the n values of the first displacements: random affine maps, and noise at the points."""
    line = torch.linspace(-1, 1, CONTROL)
    y, x = torch.meshgrid(line, line, indexing="ij")
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    affine = torch.stack([torch.stack(pair) for each in (x, y, one) for pair in ((each, zero), (zero, each))])
    affine = affine.flatten(1)
    return AFFINE**2 * affine.T @ affine + LOCAL**2 * torch.eye(affine.shape[1])


def _model(
    mean: Tensor, basis: list[Tensor], moment: Tensor, shapes: int, rotation: bool, chroma_subsampling: int = 1
) -> Generator:
    """A generator whose shapes are the principal axes of displacements with these second moments."""
    variance, axes = torch.linalg.eigh(moment)
    scaled = (axes * variance.clamp(min=0).sqrt()).T.flip(0)[:shapes]
    model = Generator(len(basis[0]), len(mean), mean.shape[1], shapes, rotation, chroma_subsampling)
    state = {"mean": mean, "shapes": scaled.unflatten(1, (2, CONTROL, CONTROL))}
    state |= dict(zip(("basis", "chroma"), basis, strict=False))
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
