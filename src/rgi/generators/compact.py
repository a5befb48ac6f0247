"""A small convolutional GAN for a few hundred to a few thousand grey or RGB images of 32 to 256 pixels.

At the default width the networks have half a million parameters and can be trained on a CPU. Nearest-neighbour
upsampling before each convolution avoids checkerboard artefacts (Odena et al. 2016). The critic has a minibatch
standard deviation layer (Karras et al. 2018).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.generators.layers import minibatch_deviation

SLOPE = 0.2  # of the leaky rectifiers


def build(
    latent_dim: int, channels: int, resolution: int, width: int = 16, max_width: int = 128
) -> tuple["Generator", "Critic"]:
    """Untrained generator and critic.

    Args:
        latent_dim: dimension d of a latent code.
        channels: number of channels C of an image.
        resolution: height and width of an image in pixels: 32, 64, 128 or 256.
        width: number of feature maps at full resolution; the number doubles with each halving of the resolution.
        max_width: highest number of feature maps.

    Raises:
        InputError: the resolution is not 32, 64, 128 or 256.
    """
    if resolution not in (32, 64, 128, 256):
        raise InputError(f"resolution={resolution}: the compact family takes 32, 64, 128 or 256")
    levels = resolution.bit_length() - 3  # doublings from 4x4
    widths = [min(max_width, width << level) for level in range(levels, -1, -1)]
    networks = Generator(latent_dim, channels, widths), Critic(channels, widths)
    # Convolutions with few feature maps are up to twice as fast in this layout, on a CPU and on tensor cores.
    return tuple(network.to(memory_format=torch.channels_last) for network in networks)


class Generator(nn.Module):
    """Generator: latent codes z (B,d) ~ N(0,1) to images (B,C,H,W), nominally in [-1,1].

    The last layer has no tanh, because the gradient of a saturated tanh would stop an inversion. There is no
    normalisation, because normalisation needs time and does not improve inversions (experiments/generators).
    """

    def __init__(self, latent_dim: int, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.base = nn.Linear(latent_dim, widths[0] * 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.LeakyReLU(SLOPE)
            )
            for in_channels, out_channels in pairwise(widths)
        )
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)
        for layer in (self.base, *(block[1] for block in self.blocks)):
            # Without normalisation, the initial weights must preserve the variance of activations (He et al. 2015).
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor) -> Tensor:
        x = nn.functional.leaky_relu(self.base(z).unflatten(1, (-1, 4, 4)), SLOPE)
        for block in self.blocks:
            x = block(x)
        return self.to_image(x)


class Critic(nn.Module):
    """Critic: images (B,C,H,W) to scores (B,); a higher score means more real.

    With ``together=True`` the minibatch standard deviation compares the images of the batch. Otherwise the score of an
    image does not depend on the other images.
    """

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__()
        widths = widths[::-1]
        self.from_image = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(in_channels, out_channels, 3, padding=1),
                nn.LeakyReLU(SLOPE),
                nn.AvgPool2d(2),
            )
            for in_channels, out_channels in pairwise(widths)
        )
        self.head = nn.Sequential(
            nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(16 * widths[-1], 1),
        )

    def forward(self, image: Tensor, together: bool = False) -> Tensor:
        x = self.from_image(image)
        for block in self.blocks:
            x = block(x)
        return self.head(torch.cat([x, minibatch_deviation(x, together)], 1)).squeeze(1)
