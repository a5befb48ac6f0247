"""Base class of baselines, with `fit` for clean images and `predict` for test images."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from rgi.errors import InputError
from rgi.pixels import luminance, smooth
from rgi.validation import NotNegative, check


@dataclass(frozen=True)
class Prediction:
    """The results of a baseline for a batch of images.

    Attributes:
        observed: observed images (B,C,H,W), unchanged.
        restored: restored images (B,C,H,W) float32, not clamped; None for methods without restoration.
        scores: pixel scores (B,H,W) float32, at least 0; a higher score means more anomalous.
        seconds: wall time of the batch in seconds.
    """

    observed: Tensor
    restored: Tensor | None
    scores: Tensor
    seconds: float

    def anomaly_map(self, sigma: float = 0.0) -> Tensor:
        """Smoothed pixel scores (B,H,W), at least 0; a higher score means more anomalous.

        Args:
            sigma: standard deviation of the Gaussian smoothing in pixels; 0 for no smoothing.

        Raises:
            InputError: sigma is negative or not finite.
        """
        check("sigma", sigma, NotNegative)
        return smooth(self.scores, sigma)


class Baseline(ABC, nn.Module):
    """A method that learns from clean images and then restores test images or scores their pixels.

    A baseline is a module, so its fitted state moves with its owner between devices. `fit` and `predict` move the
    baseline to the device of the images. The result of an image does not depend on the other images in the batch. A fit
    is deterministic: the same images and options give the same state.

    Subclasses implement `_fit`, and also `_restore` or `_score` or both. These methods get float32 images and run
    without gradients.

    Attributes:
        min_images: lowest number of images for a fit.
        fitted_shape: shape (C,H,W) of the images of the last fit; None before the first fit.
        seconds: wall time of the last fit in seconds.
    """

    min_images: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__()
        self.fitted_shape: tuple[int, ...] | None = None
        self.seconds = 0.0

    @property
    def size(self) -> int:
        """Number of scalars in parameters and buffers, including the feature extractor; 0 before most fits."""
        return sum(tensor.numel() for tensor in (*self.parameters(), *self.buffers()))

    def fit(self, images: Tensor) -> Self:
        """Fit the baseline to clean images; an earlier fit is lost.

        Args:
            images: clean images (N,C,H,W) in [-1, 1].

        Raises:
            InputError: the images have a wrong shape or values that are not finite, are too few, or do not suit the
                method.
        """
        started = time.perf_counter()
        _check_images("images", images)
        if len(images) < self.min_images:
            raise InputError(
                f"images: {len(images)} are too few; {type(self).__name__} needs at least {self.min_images}"
            )
        self.fitted_shape = None
        # Tensors from inference mode cannot be trained.
        with torch.inference_mode(False), torch.no_grad():
            self.to(images.device)
            self._fit(images.detach().float())
        self.fitted_shape = tuple(images.shape[1:])
        self.seconds = time.perf_counter() - started
        return self

    def predict(self, observed: Tensor) -> Prediction:
        """Restore images and score their pixels.

        Args:
            observed: images (B,C,H,W) with finite values, in the shape (C,H,W) of the clean images.

        Raises:
            InputError: the baseline is not fitted, or the images have a wrong shape or values that are not finite.
        """
        started = time.perf_counter()
        if self.fitted_shape is None:
            raise InputError(f"{type(self).__name__}: is not fitted; call fit(clean images) first")
        _check_images("observed", observed)
        if tuple(observed.shape[1:]) != self.fitted_shape:
            raise InputError(
                f"observed {tuple(observed.shape)}: {type(self).__name__} was fitted to images of "
                f"{self.fitted_shape}; resize the images, or fit the baseline again"
            )
        with torch.inference_mode(False), torch.no_grad():
            self.to(observed.device)
            images = observed.detach().float()
            restored = self._restore(images)
            scores = self._score(images, restored)
        return Prediction(observed, restored, scores, time.perf_counter() - started)

    @abstractmethod
    def _fit(self, images: Tensor) -> None:
        """Fit the baseline to float32 images (N,C,H,W)."""

    def _restore(self, observed: Tensor) -> Tensor | None:
        """Restored images (B,C,H,W); None for methods without restoration."""
        return None

    def _score(self, observed: Tensor, restored: Tensor) -> Tensor:
        """Pixel scores (B,H,W), at least 0; by default the residual between observed and restored images."""
        return luminance(observed - restored)


def progress_bar(count: int, name: str) -> "tqdm[int]":
    """Progress bar for a loop over ``range(count)``, shown after three seconds.

    Args:
        count: number of steps.
        name: text beside the bar.
    """
    return tqdm(range(count), desc=name, unit="step", mininterval=1, delay=3, leave=False)


def _check_images(name: str, images: Tensor) -> None:
    if images.ndim != 4 or 0 in images.shape or not images.is_floating_point():
        raise InputError(
            f"{name} {tuple(images.shape)} {images.dtype}: pass floating-point images (B,C,H,W), not empty"
        )
    if not torch.isfinite(images).all():
        raise InputError(f"{name}: has NaN or infinite values; pass finite images")
