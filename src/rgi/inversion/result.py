"""What an inversion returns."""

from dataclasses import dataclass

from torch import Tensor

from rgi.inversion.maps import CleanStatistics
from rgi.pixels import luminance, smooth
from rgi.validation import NotNegative, check, one_of

KINDS = ("mask", "residual", "normalised", "combined")  # of anomaly maps; the last two need clean images


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

    def anomaly_map(self, kind: str | None = None, sigma: float = 0.0, clean: CleanStatistics | None = None) -> Tensor:
        """Pixel scores (B,H,W) >= 0, higher is more anomalous.

        Args:
            kind: ``mask``, |M| (the paper); ``residual``, |x - G(z)|, which ranks also below the mask's threshold;
                ``normalised``, the residual minus the mean of clean images, in clean standard deviations of its
                position; ``combined``, the normalised residual plus the feature map of `clean`; None, the mask if one
                was optimised, else the residual (the paper).
            sigma: standard deviation in pixels of a Gaussian smoothing of mask or residual; 0 leaves them as they are.
            clean: statistics of clean images; used and required with the last two kinds.

        Three channels weigh 0.2989, 0.5870, 0.1140.

        Raises:
            ValueError: an unknown kind, a negative sigma, or no statistics where they are required.
        """
        kind = kind or ("mask" if self.mask_optimised else "residual")
        check("kind", kind, one_of(*KINDS))
        check("sigma", sigma, NotNegative)
        if kind == "mask":
            return smooth(luminance(self.mask), sigma)
        residual = luminance(self.observed - self.restored)
        if kind == "residual":
            return smooth(residual, sigma)
        if clean is None:
            raise ValueError(f"anomaly_map: kind={kind!r} needs clean=CleanStatistics(...)")
        if kind == "normalised":
            return clean.normalised(residual, sigma)
        return clean.combined(self.observed, residual, sigma)
