"""The objective of the paper, and the mask that minimises it in closed form.

With r = x - G(z), and n scalars in an image,

    l2:  L = Σ ((1-M) r)² + λ Σ |M|        l1:  L = Σ |(1-M) r| + λ Σ |M|

For fixed r the terms separate, so that M can be eliminated at every step of z (variable projection): what remains is
a robust regression of the image on the generator's range, redescending for l2, truncated for l1.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

CLOSING_WINDOW = 5  # pixels a side


def data_loss(residual: Tensor, mask: Tensor, data_term: str) -> Tensor:
    """Data term per image (B,); residual and mask (B,C,H,W)."""
    seen = (1 - mask) * residual
    return (seen.square() if data_term == "l2" else seen.abs()).sum((1, 2, 3))


def mask_loss(mask: Tensor, penalty: float) -> Tensor:
    """λ |M|_1 per image (B,), M expanded over the channels."""
    return penalty * mask.abs().sum((1, 2, 3))


def profile_mask(residual: Tensor, penalty: float, data_term: str, mask_shape: str) -> Tensor:
    """The exact minimiser M (B,C,H,W) in [0,1] of the objective for a fixed residual.

    Per scalar, M = max(0, 1 - λ/(2 r²)) for l2, and 1 where |r| > λ for l1. With one value per pixel the energies
    of the C channels add up, and so do their penalties: s = Σ_c r_c² or Σ_c |r_c| against C λ.
    """
    energy = residual.square() if data_term == "l2" else residual.abs()
    if mask_shape == "pixel":
        penalty = penalty * residual.shape[1]
        energy = energy.sum(1, keepdim=True)
    if data_term == "l2":
        # The clamp stands for the maximum with 0, and keeps r = 0 out of the division.
        mask = 1 - penalty / (2 * energy.clamp(min=penalty / 2))
    else:
        mask = (energy > penalty).to(energy.dtype)
    return mask.expand_as(residual)


def close_mask(mask: Tensor, share: float) -> Tensor:
    """A mask (B,C,H,W) in [0,1], and 1 where more than a share of the pixels of the window around it are masked at all.

    Corrupted pixels are rarely alone, but one that happens to resemble the restored image has no residual to be masked
    for, and pulls the image towards itself. Where pixels are missing at random, with gaps, no window is that full.
    """
    masked = mask.amax(1, keepdim=True).gt(0).to(mask.dtype)
    around = avg_pool2d(masked, CLOSING_WINDOW, 1, CLOSING_WINDOW // 2, count_include_pad=False)
    return torch.where(around > share, 1.0, mask)


def penalty_from_threshold(threshold: float, data_term: str) -> float:
    """The λ at which residuals above ``threshold`` begin to be masked: 2 t² for l2, t for l1."""
    return 2 * threshold**2 if data_term == "l2" else threshold


def check_finite(name: str, tensor: Tensor) -> None:
    """ValueError naming an argument that holds NaN or infinity."""
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name}: holds NaN or infinite values")
