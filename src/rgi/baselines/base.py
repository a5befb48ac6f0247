"""The interface of all baselines: fit(clean images), predict(batch)."""

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
    """What a baseline says of a batch of images.

    Attributes:
        observed: (B,C,H,W) as handed in.
        restored: (B,C,H,W) float32, never clamped; None where the method restores nothing.
        scores: (B,H,W) float32 >= 0, higher is more anomalous.
        seconds: wall time of the whole batch.
    """

    observed: Tensor
    restored: Tensor | None
    scores: Tensor
    seconds: float

    def anomaly_map(self, sigma: float = 0.0) -> Tensor:
        """Pixel scores (B,H,W) >= 0, higher is more anomalous.

        Args:
            sigma: standard deviation in pixels of a Gaussian smoothing; 0 leaves the map as it is.

        Raises:
            InputError: a negative sigma, or one that is not finite.
        """
        check("sigma", sigma, NotNegative)
        return smooth(self.scores, sigma)


class Baseline(ABC, nn.Module):
    """Learns what clean images look like, then restores others, or maps what is strange in them.

    A module, so that whatever was fitted is moved along with its owner; it also follows the images it is handed to
    their device. No image's result depends on the others in the batch. Fitting the same images with the same options
    gives the same state.

    A subclass fits in `_fit` and overrides `_restore`, `_score` or both; it works on float32 without gradients.

    Attributes:
        least: images that a fit needs.
        fitted_shape: (C,H,W) of the images it was fitted to, or None.
        seconds: wall time of the fit.
    """

    min_images: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__()
        self.fitted_shape: tuple[int, ...] | None = None
        self.seconds = 0.0

    @property
    def size(self) -> int:
        """How many numbers a prediction rests on, those of a feature extractor included; 0 before most fits."""
        return sum(tensor.numel() for tensor in (*self.parameters(), *self.buffers()))

    def fit(self, images: Tensor) -> Self:
        """Learn from clean images (N,C,H,W), which lie in [-1, 1]; what was learned before is forgotten.

        Raises:
            InputError: another shape, too few images, NaN or infinite values, or images that the method cannot take.
        """
        started = time.perf_counter()
        _check_images("images", images)
        if len(images) < self.min_images:
            raise InputError(
                f"images: {len(images)} are too few; {type(self).__name__} needs at least {self.min_images}"
            )
        self.fitted_shape = None
        # What is made in inference mode could never be trained or moved into a graph.
        with torch.inference_mode(False), torch.no_grad():
            self.to(images.device)
            self._fit(images.detach().float())
        self.fitted_shape = tuple(images.shape[1:])
        self.seconds = time.perf_counter() - started
        return self

    def predict(self, observed: Tensor) -> Prediction:
        """Restore or judge images (B,C,H,W) of the size of the clean ones, with any finite values.

        Raises:
            InputError: before the fit; another shape, NaN or infinite values.
        """
        started = time.perf_counter()
        if self.fitted_shape is None:
            raise InputError(f"{type(self).__name__}: is not fitted; call fit(clean images) first")
        _check_images("observed", observed)
        if tuple(observed.shape[1:]) != self.fitted_shape:
            raise InputError(
                f"observed {tuple(observed.shape)}: {type(self).__name__} was fitted to images of "
                f"{self.fitted_shape}; resize these, or fit it anew"
            )
        with torch.inference_mode(False), torch.no_grad():
            self.to(observed.device)
            images = observed.detach().float()
            restored = self._restore(images)
            scores = self._score(images, restored)
        return Prediction(observed, restored, scores, time.perf_counter() - started)

    @abstractmethod
    def _fit(self, images: Tensor) -> None:
        """Learn from images (N,C,H,W)."""

    def _restore(self, observed: Tensor) -> Tensor | None:
        """(B,C,H,W), or None."""
        return None

    def _score(self, observed: Tensor, restored: Tensor) -> Tensor:
        """(B,H,W) >= 0: the residual, unless a method knows better."""
        return luminance(observed - restored)


def progress_bar(count: int, name: str) -> "tqdm[int]":
    """range(count) with a progress bar, which stays away from a loop of less than three seconds."""
    return tqdm(range(count), desc=name, unit="step", mininterval=1, delay=3, leave=False)


def _check_images(name: str, images: Tensor) -> None:
    if images.ndim != 4 or 0 in images.shape or not images.is_floating_point():
        raise InputError(
            f"{name} {tuple(images.shape)} {images.dtype}: pass floating (B,C,H,W), one image or more, none of it empty"
        )
    if not torch.isfinite(images).all():
        raise InputError(f"{name}: holds NaN or infinite values; clean images lie in [-1, 1]")
