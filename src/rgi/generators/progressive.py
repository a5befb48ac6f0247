"""The progressive GAN of Karras et al. (2018), which the paper uses for 128x128 RGB images with 512 latent dimensions.

Scale s = 0, 1, ... has 4·2^s pixels per side. All layers have an equalised learning rate: weights are drawn from
N(0,1), biases are 0, and y = (W * x + b)·√(2 / fan_in). During training the network grows by one scale at a time. The
weight α of the previous resolution falls from 1 to 0 while a new scale fades in. A trained network has α = 0.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from rgi.errors import InputError
from rgi.generators.layers import minibatch_deviation

WIDTHS = (512, 512, 512, 512, 256, 128, 64)  # feature maps at 4, 8, ..., 256 pixels; the paper uses the first six


def build(
    latent_dim: int, channels: int, resolution: int, widths: Sequence[int] | None = None, slope: float = 0.2
) -> tuple["Generator", "Critic"]:
    """Untrained generator and critic.

    Args:
        latent_dim: dimension d of a latent code.
        channels: number of channels C of an image.
        resolution: height and width of an image in pixels: 4, 8, 16, ...
        widths: numbers of feature maps per scale, from coarse to fine; None means the numbers of the paper, which are
            defined up to 256 pixels.
        slope: negative slope of the leaky rectifiers.

    Raises:
        InputError: the number of widths does not fit the resolution.
    """
    widths = list(WIDTHS[: max(1, resolution.bit_length() - 2)] if widths is None else widths)
    if not widths or resolution != 4 << (len(widths) - 1):
        raise InputError(
            f"generator.resolution={resolution}: does not fit {len(widths)} scales of the progressive family; "
            "use 4, 8, 16, ... and one value of generator.options.widths per scale (optional up to 256 pixels)"
        )
    # Channels-last makes the convolutions faster: an inversion takes 17 % less time on a CPU.
    networks = Generator(latent_dim, channels, widths, slope), Critic(channels, widths, slope)
    return tuple(network.to(memory_format=torch.channels_last) for network in networks)


class Generator(nn.Module):
    """Generator: latent codes z (B,d) ~ N(0,1) to images (B,C,H,W), nominally in [-1,1].

    The generator normalises z, so the length of z has no effect.
    """

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
        """Images at a scale.

        Args:
            z: latent codes (B,d).
            scale: scale of the images, 4·2^scale pixels per side; None means the last scale.
            alpha: weight of the image at the previous scale, in [0,1].
        """
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

    def _layer(self, conv: "Conv", x: Tensor) -> Tensor:
        # The rectifier and the pixel norm let a positive factor through, so the gain acts on one number per pixel.
        return normalise(leaky_relu(conv.without_gain(x), self.slope), conv.gain)


class Critic(nn.Module):
    """Critic: images (B,C,H,W) to scores (B,); a higher score means more real."""

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
        """Scores (B,) of images at a scale.

        Args:
            image: (B,C,H,W) with H = W = 4·2^scale.
            together: whether the minibatch standard deviation compares the images of the batch; False makes the score
                of an image independent of the other images.
            scale: scale of the images; None means the last scale.
            alpha: weight of the features from the previous scale, in [0,1].
        """
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
    """Convolution with equalised learning rate and unchanged image size."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.gain = _equalise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.without_gain(x) * self.gain

    def without_gain(self, x: Tensor) -> Tensor:
        """The output before it is multiplied by the gain."""
        return super().forward(x)


class Linear(nn.Linear):
    """Linear layer with equalised learning rate."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.gain = _equalise(self)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gain


def _equalise(layer: nn.Module) -> float:
    """Initialise weights ~ N(0,1) and biases 0; returns the gain √(2 / fan_in)."""
    nn.init.normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return sqrt(2 / layer.weight[0].numel())


def normalise(x: Tensor, gain: float = 1.0) -> Tensor:
    """Pixel norm of gain·x: x (B,C,...) times the gain, divided by its root mean square over C."""
    # The norm has a gradient of one pass over x; that of a mean of squares takes three.
    square = gain**2 / x.shape[1] * torch.linalg.vector_norm(x, dim=1, keepdim=True).square()
    return x * (gain * (square + 1e-8).rsqrt())


def upsample(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling from (B,C,H,W) to (B,C,2H,2W)."""
    return interpolate(x, scale_factor=2)
