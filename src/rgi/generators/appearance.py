"""Active appearance models (Cootes, Edwards, Taylor, ECCV 1998): principal components of aligned images, and a warp.

    G(z) = A(z_a) warped by W(z_w),    A = mean + z_a · basis,    W(p) = R(z_r) (p + z_w · shapes)

Here p is a position in the image. R rotates by the angle of the two codes z_r, so z_r ~ N(0,1) has all angles equally
often; a generator without rotation has no z_r. A shape is a smooth displacement, given at a grid of `CONTROL` times
`CONTROL` points. The order of the codes is z = (z_r, z_w, z_a).

Photographs have little fine detail in their colours. As in JPEG files, the components can therefore have all pixels of
the brightness, and fewer of the two colour differences.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, affine_grid, grid_sample, interpolate

from rgi.errors import InputError
from rgi.generators import compact
from rgi.generators.pca import MEAN_ALONE, Tuned

# Brightness and two colour differences of (R, G, B): the axes of Ohta, Kanade, Sakai (1980), here orthonormal.
OPPONENT = torch.tensor([[1.0, 1, 1], [1, 0, -1], [-1, 2, -1]]) / torch.tensor([[3.0], [2.0], [6.0]]).sqrt()
RIDGE = 1e-3  # weight of |z|² in a guess; it only keeps the equations solvable
CONTROL = 5  # points of the grid of a displacement in each direction, the border included


def build(
    latent_dim: int,
    channels: int,
    resolution: int,
    shapes: int = 16,
    rotation: bool = False,
    chroma_subsampling: int = 1,
    critic: dict[str, int] | None = None,
) -> tuple["Generator", compact.Critic | None]:
    """A generator with random weights, as a container for weights from a file.

    Args:
        latent_dim: dimension d of a latent code.
        channels: number of channels C of an image.
        resolution: height and width of an image in pixels.
        shapes: number of codes of the shape, from 0 to 50.
        rotation: whether two codes rotate the image by any angle.
        chroma_subsampling: side in pixels of the squares whose colour differences the components store once. Images
            with one channel have none.
        critic: options of the compact GAN whose critic the file keeps; None without a critic.

    Raises:
        InputError: no code is left for the appearance, or an option is wrong.
    """
    if type(shapes) is not int or not 0 <= shapes <= 2 * CONTROL**2:
        raise InputError(f"generator.options.shapes={shapes}: must be a whole number from 0 to {2 * CONTROL**2}")
    if type(rotation) is not bool:
        raise InputError(f"generator.options.rotation={rotation}: must be true or false")
    if type(chroma_subsampling) is not int or not 1 <= chroma_subsampling <= resolution:
        raise InputError(
            f"generator.options.chroma_subsampling={chroma_subsampling}: must be a whole number from 1 to {resolution}"
        )
    components = latent_dim - shapes - 2 * rotation
    if components < 1:
        raise InputError(
            f"generator.latent_dim={latent_dim}: must be above {latent_dim - components}, the codes of the warp"
        )
    generator = Generator(components, channels, resolution, shapes, rotation, chroma_subsampling)
    return generator, None if critic is None else compact.build(1, channels, resolution, **critic)[1]


class Generator(nn.Module):
    """Generator: latent codes z (B,d) ~ N(0,1) to images (B,C,H,W), nominally in [-1,1].

    Attributes:
        mean: mean of the aligned images (C,H,W).
        basis: principal components of the aligned images (k,C,H,W), each scaled by its standard deviation; with
            subsampled colours their brightness (k,1,H,W).
        chroma: colour differences of the components (k,2,h,h); None unless they are subsampled.
        shapes: displacements (s,2,CONTROL,CONTROL), x before y, in units of half the image's side.
        rotation: whether the first two codes rotate the image.
    """

    tuned: ClassVar[Tuned] = MEAN_ALONE

    def __init__(
        self,
        components: int,
        channels: int,
        resolution: int,
        shapes: int,
        rotation: bool,
        chroma_subsampling: int = 1,
    ) -> None:
        super().__init__()
        size = (channels, resolution, resolution)
        stored = subsampled(torch.randn(components, *size) / components**0.5, chroma_subsampling)
        self.rotation, self.latent_dim = rotation, components + shapes + 2 * rotation
        self.mean = nn.Parameter(torch.zeros(size))
        self.basis, self.chroma = (None if each is None else nn.Parameter(each) for each in stored)
        self.shapes = nn.Parameter(torch.randn(shapes, 2, CONTROL, CONTROL) / 20)
        if self.chroma is not None:  # constants that move with the weights, so that no step copies them to a GPU
            self.register_buffer("opponent", OPPONENT.clone(), persistent=False)
            self.register_buffer("finer", bilinear(self.chroma.shape[-1], resolution), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        warp, codes = z.split([self.latent_dim - len(self.basis), len(self.basis)], 1)
        image = self.mean + self.linear(codes)
        if not warp.shape[1]:
            return image
        exact = torch.promote_types(z.dtype, torch.float32)  # positions need more digits than bfloat16 has
        positions = self.positions(warp.to(exact))
        return grid_sample(image.to(exact), positions, "bilinear", "border", False).to(z.dtype)

    def linear(self, codes: Tensor) -> Tensor:
        """The linear part z_a · basis, (B,C,H,W), of codes z_a (B,k)."""
        image = (codes @ self.basis.flatten(1)).unflatten(1, self.basis.shape[1:])
        if self.chroma is None:
            return image
        chroma = (codes @ self.chroma.flatten(1)).unflatten(1, self.chroma.shape[1:])
        return from_opponent(image, chroma, self.opponent, self.finer)

    def guess(self, images: Tensor) -> Tensor:
        """Codes (B,d) of images (B,C,H,W) by least squares, with the warp of z = 0."""
        basis = self.linear(torch.eye(len(self.basis)).to(self.basis)).flatten(1).to(images)
        moved = (images - self.mean.to(images)).flatten(1)
        codes = torch.linalg.solve(basis @ basis.T + RIDGE * torch.eye(len(basis)).to(basis), basis @ moved.T).T
        return torch.cat([codes.new_zeros(len(images), self.latent_dim - len(basis)), codes], 1)

    def positions(self, warp: Tensor) -> Tensor:
        """The position in the aligned image of each pixel, (B,H,W,2), x before y; the image is [-1,1]².

        Args:
            warp: the codes (z_r, z_w), (B,2+s) or (B,s).
        """
        size = self.mean.shape[1:]
        moved = pixel_centres(*size).to(warp) + self.displacement(warp).permute(0, 2, 3, 1)
        if not self.rotation:
            return moved
        return moved @ rotations(warp[:, :2]).mT[:, None]

    def displacement(self, warp: Tensor) -> Tensor:
        """Displacement (B,2,H,W) of each pixel before the rotation."""
        coarse = (warp[:, 2 * self.rotation :] @ self.shapes.to(warp).flatten(1)).unflatten(1, (2, CONTROL, CONTROL))
        return interpolate(coarse, self.mean.shape[1:], mode="bilinear", align_corners=True)


def subsampled(images: Tensor, factor: int) -> tuple[Tensor, Tensor | None]:
    """Images (B,C,H,W) as brightness (B,1,H,H) and coarse colour differences (B,2,h,h).

    Args:
        images: images (B,C,H,H), or differences of images.
        factor: side in pixels of the squares over which the colour differences are averaged.

    Returns:
        Brightness and colour differences; the images themselves and None if the factor is 1 or C is not 3.
    """
    if factor == 1 or images.shape[1] != len(OPPONENT):
        return images, None
    axes = torch.einsum("oc,bchw->bohw", OPPONENT.to(images), images)
    return axes[:, :1], adaptive_avg_pool2d(axes[:, 1:], -(-images.shape[2] // factor))


def bilinear(coarse: int, fine: int) -> Tensor:
    """The matrix (H,h) of linear interpolation from h to H values; with it, bilinear interpolation is two products."""
    return interpolate(torch.eye(coarse)[None], fine, mode="linear")[0].T.contiguous()


def from_opponent(brightness: Tensor, chroma: Tensor, opponent: Tensor, finer: Tensor) -> Tensor:
    """RGB images (B,3,H,H) of brightness (B,1,H,H) and coarse colour differences (B,2,h,h).

    Args:
        brightness: brightness, see `subsampled`.
        chroma: colour differences.
        opponent: `OPPONENT` in the type of the images.
        finer: matrix (H,h), see `bilinear`. Two products with it are much faster than `interpolate`.
    """
    tint = torch.einsum("oc,bohw->bchw", opponent[1:], chroma)
    return opponent[0, :, None, None] * brightness + finer @ tint @ finer.T


def pixel_centres(height: int, width: int) -> Tensor:
    """Positions (H,W,2) of the pixels, x before y; the image is [-1,1]²."""
    return affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)[0]


def rotations(codes: Tensor) -> Tensor:
    """Rotations (B,2,2) by the angles of two codes (B,2)."""
    cosine, sine = (codes / codes.norm(dim=1, keepdim=True).clamp(min=1e-6)).unbind(1)
    return torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)


def aligned(generator: Generator, images: Tensor, warp: Tensor, steps: int = 4) -> Tensor:
    """Undo the warp of images (B,C,H,W); returns images in the positions of the mean.

    Args:
        generator: generator of the warp.
        images: images (B,C,H,W).
        warp: the codes (z_r, z_w) of the images.
        steps: fixed-point steps for the inverse of the displacement.
    """
    centres = pixel_centres(*images.shape[2:]).to(images)
    if generator.rotation:
        centres = centres @ rotations(warp[:, :2])[:, None]  # the inverse of a rotation is its transpose
    else:
        centres = centres.expand(len(images), *centres.shape)
    displacement, position = generator.displacement(warp), centres
    for _ in range(steps):  # of q = p + w(p), for p
        moved = grid_sample(displacement, position, "bilinear", "border", False)
        position = centres - moved.permute(0, 2, 3, 1)
    return grid_sample(images, position, "bicubic", "border", False)
