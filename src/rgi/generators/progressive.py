"""The progressive GAN of Karras et al. (2018), as the paper uses it: 512 numbers to 128x128 RGB.

Scale s = 0, 1, ... works at 4·2^s pixels. Every layer is equalised: weights ~ N(0,1), bias 0, and
y = (W * x + b)·√(2 / fan_in), the bias included. A network grows scale by scale: while a new one fades in,
α is the weight of the old resolution, from 1 down to 0, where the network is finished.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from rgi.errors import InputError
from rgi.generators.layers import minibatch_deviation

WIDTHS = (512, 512, 512, 512, 256, 128, 64)  # feature maps at 4, 8, ..., 256 pixels; the paper's go up to 128


def build(
    latent_dim: int, channels: int, resolution: int, widths: Sequence[int] | None = None, slope: float = 0.2
) -> tuple["Generator", "Critic"]:
    """Generator and critic; ``widths`` feature maps per scale, coarse to fine, the paper's unless given.

    Args:
        slope: of the leaky rectifiers.

    Raises:
        InputError: the widths do not make a network of this resolution.
    """
    widths = list(WIDTHS[: max(1, resolution.bit_length() - 2)] if widths is None else widths)
    if not widths or resolution != 4 << (len(widths) - 1):
        raise InputError(
            f"generator.resolution={resolution}: does not fit the progressive family's {len(widths)} scales; it takes "
            "4, 8, 16, ... with one of generator.options.widths for each (which may be left out up to 256)"
        )
    return Generator(latent_dim, channels, widths, slope), Critic(channels, widths, slope)


class Generator(nn.Module):
    """z (B,d) ~ N(0,1), of which only the direction counts, to an image (B,C,H,W), nominally in [-1,1]."""

    def __init__(self, latent_dim: int, channels: int, widths: Sequence[int], slope: float) -> None:
        super().__init__()
        self.latent_dim, self.slope = latent_dim, slope
        self.format = Linear(latent_dim, widths[0] * 16)
        self.base = Conv(widths[0], widths[0], 3)
        self.scales = nn.ModuleList(
            nn.ModuleList([Conv(coarse, fine, 3), Conv(fine, fine, 3)]) for coarse, fine in pairwise(widths)
        )
        self.to_image = nn.ModuleList(Conv(width, channels, 1) for width in widths)

    def forward(self, z: Tensor, scale: int | None = None, alpha: float = 0.0) -> Tensor:
        """The image at 4·2^scale pixels, the last scale unless given; α fades in the one below it."""
        scale = len(self.scales) if scale is None else scale
        x = leaky_relu(self.format(normalise(z)), self.slope).unflatten(1, (-1, 4, 4))
        x = coarse = self._layer(self.base, normalise(x))
        for convs in self.scales[:scale]:
            coarse, x = x, upsample(x)
            for conv in convs:
                x = self._layer(conv, x)
        image = self.to_image[scale](x)
        if alpha and scale:
            image = alpha * upsample(self.to_image[scale - 1](coarse)) + (1 - alpha) * image
        return image

    def _layer(self, conv: nn.Module, x: Tensor) -> Tensor:
        return normalise(leaky_relu(conv(x), self.slope))


class Critic(nn.Module):
    """image (B,C,H,W) -> score (B,), higher is more real; each scored as if alone unless ``together``."""

    def __init__(self, channels: int, widths: Sequence[int], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.from_image = nn.ModuleList(Conv(channels, width, 1) for width in widths)
        self.scales = nn.ModuleList(
            nn.ModuleList([Conv(fine, fine, 3), Conv(fine, coarse, 3)]) for coarse, fine in pairwise(widths)
        )
        self.conv = Conv(widths[0] + 1, widths[0], 3)
        self.linear = Linear(widths[0] * 16, widths[0])
        self.decision = Linear(widths[0], 1)

    def forward(self, image: Tensor, together: bool = False, scale: int | None = None, alpha: float = 0.0) -> Tensor:
        """Scores of images of 4·2^scale pixels, the last scale unless given; α fades in the one below it."""
        scale = len(self.scales) if scale is None else scale
        x = self._layer(self.from_image[scale], image)
        for index in reversed(range(scale)):
            for conv in self.scales[index]:
                x = self._layer(conv, x)
            x = avg_pool2d(x, 2)
            if alpha and index == scale - 1:
                x = alpha * self._layer(self.from_image[index], avg_pool2d(image, 2)) + (1 - alpha) * x
        x = self._layer(self.conv, torch.cat([x, minibatch_deviation(x, together)], 1))
        x = self._layer(self.linear, x.flatten(1))
        return self.decision(x).squeeze(1)

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        return leaky_relu(layer(x), self.slope)


class Conv(nn.Conv2d):
    """Equalised convolution that keeps the size."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.gain = _equalise(self)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gain


class Linear(nn.Linear):
    """Equalised linear layer."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.gain = _equalise(self)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gain


def _equalise(layer: nn.Module) -> float:
    nn.init.normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return sqrt(2 / layer.weight[0].numel())


def normalise(x: Tensor) -> Tensor:
    """x (B,C,...) divided by the root mean square over C."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def upsample(x: Tensor) -> Tensor:
    """(B,C,H,W) -> (B,C,2H,2W), nearest."""
    return interpolate(x, scale_factor=2)
