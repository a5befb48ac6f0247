"""What an inversion returns."""

from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

LUMINANCE = (0.2989, 0.5870, 0.1140)


@dataclass(frozen=True)
class Inversion:
    """The explanation of a batch of images.

    Attributes:
        observed: (B,C,H,W) as handed in.
        restored: (B,C,H,W), G_θ(z) at the returned z and θ; never clamped nor composited with the input.
        mask: (B,C,H,W) as optimised; unconstrained for ``adam``, zeros for ``none``, the given one for ``given``.
        latent: (B,d).
        objective: (B,), the minimised value at the returned point, critic term included.
        iterations: (B,), steps taken.
        evaluations: (B,), images that the generator made for it, all its starts counted, the pool, which is shared by
            all images of a generator, not.
        history: (T,B), the objective before each step; NaN once an image has left.
        mask_optimised: whether the mask is an estimate (profiled or learned).
        seconds: wall time of the whole batch.
    """

    observed: Tensor
    restored: Tensor
    mask: Tensor
    latent: Tensor
    objective: Tensor
    iterations: Tensor
    evaluations: Tensor
    history: Tensor
    mask_optimised: bool
    seconds: float

    def anomaly_map(self, kind: str | None = None, sigma: float = 0.0) -> Tensor:
        """Pixel scores (B,H,W) >= 0, higher is more anomalous.

        Args:
            kind: ``mask``, |M| (the paper); ``residual``, |x - G(z)|, which ranks also below the mask's threshold;
                None takes the mask if one was optimised.
            sigma: standard deviation in pixels of a Gaussian smoothing; 0 leaves the map as it is.

        Three channels weigh 0.2989, 0.5870, 0.1140.

        Raises:
            ValueError: an unknown kind or a negative sigma.
        """
        kind = kind or ("mask" if self.mask_optimised else "residual")
        if kind not in ("mask", "residual") or sigma < 0:
            raise ValueError(f"anomaly_map: kind={kind!r}, sigma={sigma}: kind is mask or residual, sigma >= 0")
        scores = (self.mask if kind == "mask" else self.observed - self.restored).abs()
        weights = scores.new_tensor(LUMINANCE if scores.shape[1] == 3 else (1.0,))
        scores = torch.einsum("bchw,c->bhw", scores, weights)
        if sigma:
            smooth = ndimage.gaussian_filter(scores.cpu().numpy(), (0, sigma, sigma))
            scores = torch.from_numpy(smooth).to(scores.device)
        return scores
