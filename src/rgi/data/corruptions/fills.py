"""Contents of holes: the values that replace the corrupted pixels of an image."""

from collections.abc import Callable

import torch
from torch import Tensor

ENCODER_FILLS = ("noise", "constant", "image")  # contents in the training of encoders; `CONTENTS` lists all
SPECTRUM = -5  # the power of a random field is frequency ** SPECTRUM, as in the authors' code


def fill(
    images: Tensor, masks: Tensor, kind: str, generator: torch.Generator, fill_images: Tensor | None = None
) -> Tensor:
    """Replace the pixels under the masks; returns images (B,C,H,W), whose new values may lie outside [-1, 1].

    The kinds are listed below, with the name in the authors' code in brackets. Random values are independent for each
    image and channel, and also for each pixel except in ``constant`` and in the random fields.

    - ``noise``: N(0,1)
    - ``constant``: one value from U(-1,1) for each image and channel
    - ``image``: pixels of another image, mirrored, because aligned photographs would hardly differ
    - ``dark``: N(-1,1); all published settings use this kind
    - ``bright``: N(1,1) (white)
    - ``added``: the image plus N(0.5,1) (small deviation)
    - ``field``: a smooth Gaussian random field with mean 0 and standard deviation 1/2 over the image
    - ``added_field``: the image plus a field between 0.5 and 2 plus N(0,1) (Gaussian Markov random field)

    Args:
        images: clean images (B,C,H,W) in [-1, 1].
        masks: masks (B,1,H,W) in {0, 1}, 1 = replaced.
        kind: kind of content, a key of `CONTENTS`.
        generator: source of all random numbers, on the CPU.
        fill_images: images (B,C,H,W) for the kind ``image``; None for the next image of the batch.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in CONTENTS:
        raise ValueError(f"kind={kind!r}: unknown; use one of {', '.join(CONTENTS)}")
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
    """Periodic Gaussian random fields (B,C,H,W) with mean 0 and power frequency ** `SPECTRUM`."""
    height, width = shape[-2:]
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    frequency[0, 0] = torch.inf
    noise = torch.fft.rfft2(torch.randn(shape, generator=generator))
    return torch.fft.irfft2(noise * frequency ** (SPECTRUM / 2), s=(height, width))
