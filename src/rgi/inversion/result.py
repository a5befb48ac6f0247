"""The result of an inversion, and its anomaly maps."""

from dataclasses import dataclass

from torch import Tensor

from rgi.inversion.maps import CleanStatistics
from rgi.pixels import luminance, smooth
from rgi.validation import NotNegative, check, one_of

KINDS = ("mask", "residual", "normalised", "combined")  # of anomaly maps; the last two need statistics of clean images


@dataclass(frozen=True)
class Inversion:
    """The result of the inversion of a batch of images.

    Attributes:
        observed: input images (B,C,H,W).
        restored: restored images G_θ(z), (B,C,H,W), neither clamped nor composited with the input.
        mask: M, (B,C,H,W); the optimised mask, the given mask for ``given``, zeros for ``none``. A mask by ``adam`` may
            have values outside [0,1].
        latent: latent codes z, (B,d).
        objective: minimised objective including the terms of critic and code, (B,).
        iterations: number of steps of each image, (B,).
        evaluations: number of forward passes of the generator for each image, (B,). All starts of an image count. The
            pool does not count, because all images share its evaluation.
        history: objective before each step, (T,B); NaN for steps after an image has stopped.
        mask_optimised: whether the mask is optimised (``profiled`` or ``adam``).
        seconds: wall time of the whole batch in seconds.
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
        """Pixel scores; a higher score means more anomalous.

        The channels are combined by `rgi.pixels.luminance`.

        Args:
            kind: score of a pixel:
                ``mask``: |M| (the paper);
                ``residual``: |x - G(z)|, which also ranks pixels with M = 0;
                ``normalised``: residual minus the clean mean, divided by the clean standard deviation at the position;
                ``combined``: weighted mean of the surprisals of residual and feature maps among the pixels of `clean`;
                None: ``mask`` for an optimised mask, else ``residual`` (the paper).
            sigma: standard deviation in pixels of the Gaussian smoothing; 0 = no smoothing.
            clean: statistics of clean images; required for ``normalised`` and ``combined``, else unused.

        Returns:
            Pixel scores (B,H,W) >= 0.

        Raises:
            ValueError: the kind is unknown, sigma is negative, or required statistics are missing.
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
