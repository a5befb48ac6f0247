"""Base class of baselines, with `fit` for clean images and `predict` for test images."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from rgi.errors import InputError
from rgi.pixels import luminance, smooth
from rgi.validation import NotNegative, check

CHUNK = 32  # images in memory at a time


@dataclass(frozen=True)
class Prediction:
    """The results of a baseline for a batch of images.

    Attributes:
        observed: observed images (B,C,H,W), unchanged.
        restored: restored images (B,C,H,W) float32, not clamped; None for methods without restoration.
        scores: pixel scores (B,H,W) float32, at least 0; a higher score means more anomalous.
        image_scores: score (B,) of each image by the method's own rule; None for the highest score of its map.
        seconds: wall time of the batch in seconds.
    """

    observed: Tensor
    restored: Tensor | None
    scores: Tensor
    image_scores: Tensor | None
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


class CleanImages:
    """Clean images for a fit: all at once, or a part at a time, whose memory does not grow with their number.

    Args:
        images: images (N,C,H,W) in [-1,1], or a dataset of images (C,H,W).
        device: device of the fit.
    """

    def __init__(self, images: Tensor | Dataset[Tensor], device: torch.device) -> None:
        self.images, self.device = images, device

    def __len__(self) -> int:
        return len(self.images)

    def parts(self) -> Iterator[Tensor]:
        """Yield images (n,C,H,W) float32 on the device, `CHUNK` at a time.

        Raises:
            InputError: an image has a wrong shape or values that are not finite.
        """
        for first in range(0, len(self), CHUNK):
            yield self._part(first, min(first + CHUNK, len(self)))

    def first(self) -> Tensor:
        """The first image (1,C,H,W)."""
        return self._part(0, 1)

    def stacked(self) -> Tensor:
        """All images (N,C,H,W)."""
        return self._part(0, len(self))

    def _part(self, first: int, end: int) -> Tensor:
        if isinstance(self.images, Tensor):
            part = self.images[first:end].detach()
        else:
            part = torch.stack([self.images[i] for i in range(first, end)])
        _check_images("images", part)
        return part.to(self.device, torch.float32)


class Baseline(ABC, nn.Module):
    """A method that learns from clean images and then restores test images or scores their pixels.

    A baseline is a module, so its fitted state moves with its owner between devices. `fit` and `predict` move the
    baseline to the device of the images. The result of an image does not depend on the other images in the batch. A fit
    is deterministic: the same images and options give the same state.

    Subclasses implement `_fit`, and also `_restore` or `_score` or both. These methods run without gradients. The
    images of the last two are float32.

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

    def fit(self, images: Tensor | Dataset[Tensor], device: torch.device | None = None) -> Self:
        """Fit the baseline to clean images; an earlier fit is lost.

        Args:
            images: clean images (N,C,H,W) in [-1, 1], or a dataset of clean images (C,H,W).
            device: device of the fit; None for the device of the images, which is the CPU for a dataset.

        Raises:
            InputError: the images have a wrong shape or values that are not finite, are too few, or do not suit the
                method.
        """
        started = time.perf_counter()
        if isinstance(images, Tensor):
            _check_images("images", images)
            device = device or images.device
        if len(images) < self.min_images:
            raise InputError(
                f"images: {len(images)} are too few; {type(self).__name__} needs at least {self.min_images}"
            )
        self.fitted_shape = None
        # Tensors from inference mode cannot be trained.
        with torch.inference_mode(False), torch.no_grad():
            clean = CleanImages(images, device or torch.device("cpu"))
            self.to(clean.device)
            self._fit(clean)
        self.fitted_shape = tuple(clean.first().shape[1:])
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
            scores, image_scores = self._score(images, restored), None
            if isinstance(scores, tuple):
                scores, image_scores = scores
        return Prediction(observed, restored, scores, image_scores, time.perf_counter() - started)

    def learned(self) -> dict[str, Tensor]:
        """What the fit has stored in buffers, and the shape of the images; not the feature extractor."""
        own = {name: tensor for name, tensor in self.named_buffers() if "." not in name}
        return own | {"fitted_shape": torch.tensor(self.fitted_shape)}

    def restore(self, learned: dict[str, Tensor]) -> Self:
        """Take over the fit of a baseline of the same class and options, whose fit stores buffers alone.

        Args:
            learned: the result of `learned`.
        """
        for name, tensor in learned.items():
            setattr(self, name, tuple(tensor.tolist()) if name == "fitted_shape" else tensor)
        return self

    @abstractmethod
    def _fit(self, images: CleanImages) -> None:
        """Fit the baseline."""

    def _restore(self, observed: Tensor) -> Tensor | None:
        """Restored images (B,C,H,W); None for methods without restoration."""
        return None

    def _score(self, observed: Tensor, restored: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pixel scores (B,H,W), at least 0; by default the residual between observed and restored images.

        A method with a rule of its own for the score of an image returns its scores (B,), too.
        """
        return luminance(observed - restored)


def progress_bar(count: int, name: str, unit: str = "step") -> "tqdm[int]":
    """Progress bar for a loop over ``range(count)``, shown after three seconds.

    Args:
        count: number of steps.
        name: text beside the bar.
        unit: what is counted.
    """
    return tqdm(range(count), desc=name, unit=unit, mininterval=1, delay=3, leave=False)


def _check_images(name: str, images: Tensor) -> None:
    if images.ndim != 4 or 0 in images.shape or not images.is_floating_point():
        raise InputError(
            f"{name} {tuple(images.shape)} {images.dtype}: pass floating-point images (B,C,H,W), not empty"
        )
    if not torch.isfinite(images).all():
        raise InputError(f"{name}: has NaN or infinite values; pass finite images")
