"""The objective of the paper, and the mask that minimises it in closed form.

With r = x - G(z),

    l2:  L = Σ ((1-M) r)² + λ Σ |M|        l1:  L = Σ |(1-M) r| + λ Σ |M|

λ is a number, or a tensor (1,1,H,W) with a value for each position. For fixed r, the minimum over M has a closed form
at each pixel. Each step of z can therefore use the best M (variable projection). The remaining problem is a robust
regression of the image on the range of the generator, with a redescending loss for l2 and a truncated loss for l1.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

WINDOW = 5  # pixels: side of the window of `masked_around`


def data_loss(residual: Tensor, mask: Tensor, data_term: str) -> Tensor:
    """Data term of the objective.

    Args:
        residual: r, (B,C,H,W).
        mask: M, (B,C,H,W).
        data_term: ``l2`` or ``l1``.

    Returns:
        One value per image (B,).
    """
    seen = (1 - mask) * residual
    return (seen.square() if data_term == "l2" else seen.abs()).sum((1, 2, 3))


def mask_loss(mask: Tensor, penalty: float | Tensor) -> Tensor:
    """Mask term of the objective, λ |M|_1.

    Args:
        mask: M, (B,C,H,W).
        penalty: λ, a number or (1,1,H,W).

    Returns:
        One value per image (B,).
    """
    if isinstance(penalty, Tensor):
        return (penalty * mask.abs()).sum((1, 2, 3))
    return penalty * mask.abs().sum((1, 2, 3))


def profile_mask(residual: Tensor, penalty: float | Tensor, data_term: str, mask_shape: str) -> Tensor:
    """The mask that minimises the objective for a fixed residual.

    Per scalar, M = max(0, 1 - λ/(2 r²)) for l2. For l1, M = 1 where |r| > λ, else 0. With one mask value per pixel, the
    energies and the penalties of the C channels add up: Σ_c r_c² or Σ_c |r_c| replaces r² or |r|, and C λ replaces λ.

    Args:
        residual: r, (B,C,H,W).
        penalty: λ > 0, a number or (1,1,H,W).
        data_term: ``l2`` or ``l1``.
        mask_shape: ``channel`` for one mask value per scalar, ``pixel`` for one mask value per pixel.

    Returns:
        M in [0,1], (B,C,H,W).
    """
    energy = residual.square() if data_term == "l2" else residual.abs()
    if mask_shape == "pixel":
        penalty = penalty * residual.shape[1]
        energy = energy.sum(1, keepdim=True)
    if data_term == "l2":
        # The condition has the same effect as the maximum with 0, without its rounding: `close_mask` needs exact zeros.
        half = penalty / 2
        mask = torch.where(energy > half, 1 - half / energy, 0.0)
    else:
        mask = (energy > penalty).to(energy.dtype)
    return mask.expand_as(residual)


def close_mask(mask: Tensor, share: float) -> Tensor:
    """Mask pixels that lie among masked pixels.

    A corrupted pixel may have a value close to the restored image by chance. Its residual is then too small for the
    mask, and the pixel pulls the restored image towards its value. A pixel is therefore masked if more than a given
    share of the pixels in the 5x5 window around it are masked. Pixels that are missing at random leave gaps, so no
    window reaches a high share.

    Args:
        mask: M in [0,1], (B,C,H,W); a pixel is masked if one of its channels is above 0.
        share: lowest share of masked pixels in the window, exclusive, in [0,1).

    Returns:
        (B,C,H,W): 1 at pixels that lie among masked pixels, ``mask`` elsewhere.
    """
    return torch.where(masked_around(mask) > share, 1.0, mask)


def masked_around(mask: Tensor) -> Tensor:
    """The share of masked pixels in the 5x5 window around each pixel, (B,1,H,W).

    Args:
        mask: M in [0,1], (B,C,H,W); a pixel is masked if one of its channels is above 0.
    """
    masked = mask.amax(1, keepdim=True).gt(0).to(mask.dtype)
    return avg_pool2d(masked, WINDOW, 1, WINDOW // 2, count_include_pad=False)


def penalty_from_threshold(threshold: float, data_term: str) -> float:
    """λ for which the mask is above 0 exactly where |r| is above a threshold t: 2 t² for l2, t for l1.

    Args:
        threshold: t, in units of pixel values.
        data_term: ``l2`` or ``l1``.
    """
    return 2 * threshold**2 if data_term == "l2" else threshold


def check_finite(name: str, tensor: Tensor) -> None:
    """Check that a tensor has no NaN and no infinite values.

    Args:
        name: name of the tensor in the message.
        tensor: values of any shape.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name}: holds NaN or infinite values")
