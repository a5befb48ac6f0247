"""What replaces the corrupted pixels of an image."""

from collections.abc import Callable

import torch
from torch import Tensor

ENCODER_FILLS = ("noise", "constant", "image")  # these an encoder learns to look through; `CONTENTS` has more
SPECTRUM = -5  # exponent of a random field's power over the frequency, as published


def fill(
    images: Tensor, masks: Tensor, kind: str, generator: torch.Generator, fill_images: Tensor | None = None
) -> Tensor:
    """Images (B,C,H,W) with what lies under the masks replaced; values may leave [-1, 1].

    What is random is independent for every image, channel and, but for ``constant`` and the fields, pixel. In brackets,
    what the authors' code calls it.

    Args:
        images: clean, in [-1, 1].
        masks: (B,1,H,W), 1 = to be replaced.
        kind: ``noise``, N(0,1); ``constant``, one value of U(-1,1) for each image and channel; ``image``, the pixels of
            another image, mirrored, or those of aligned photographs would hardly differ; ``dark``, N(-1,1) (what all
            published settings use); ``bright``, N(1,1) (white); ``added``, image + N(0.5,1) (small deviation);
            ``field``, a smooth Gaussian random field of mean 0 and standard deviation 1/2 over the image;
            ``added_field``, image + a field between 0.5 and 2 + N(0,1) (Gaussian Markov random field).
        generator: on the CPU; the only source of randomness.
        fill_images: (B,C,H,W), for ``image``; the batch's next images if not given.
    """
    if kind not in CONTENTS:
        raise ValueError(f"kind={kind!r}: one of {', '.join(CONTENTS)}")
    fill_images = images.roll(1, 0) if fill_images is None else fill_images
    content = CONTENTS[kind](images, fill_images, generator)
    return torch.where(masks.to(images.device).bool(), content.to(images), images)


def _normal(mean: float) -> Callable[[Tensor, Tensor, torch.Generator], Tensor]:
    return lambda images, _, generator: mean + torch.randn(images.shape, generator=generator)


def _constant(images: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(*images.shape[:2], 1, 1, generator=generator) * 2 - 1).expand_as(images)


def _mirrored(_: Tensor, fill_images: Tensor, generator: torch.Generator) -> Tensor:
    return fill_images.flip(-1)


def _added(images: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    return images + (0.5 + torch.randn(images.shape, generator=generator)).to(images)


def _field(images: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    field = random_field(images.shape, generator)
    return 0.5 * (field - field.mean((2, 3), keepdim=True)) / field.std((2, 3), keepdim=True)


def _added_field(images: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    field = random_field(images.shape, generator)
    low, high = field.amin((2, 3), keepdim=True), field.amax((2, 3), keepdim=True)
    shift = (2 * (field - low) / (high - low)).clamp(min=0.5)
    return images + (shift + torch.randn(images.shape, generator=generator)).to(images)


CONTENTS = {
    "noise": _normal(0),
    "constant": _constant,
    "image": _mirrored,
    "dark": _normal(-1),
    "bright": _normal(1),
    "added": _added,
    "field": _field,
    "added_field": _added_field,
}


def random_field(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Periodic Gaussian random fields (B,C,H,W) of mean 0, whose power falls as frequency ** `SPECTRUM`."""
    height, width = shape[-2:]
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    frequency[0, 0] = torch.inf
    noise = torch.fft.rfft2(torch.randn(shape, generator=generator))
    return torch.fft.irfft2(noise * frequency ** (SPECTRUM / 2), s=(height, width))
