"""Encoder: images to latent codes, as starts of an inversion with a generator of any family."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """Convolutional network from images (B,C,H,W), H = W = 4·2^k, to latent codes (B,d).

    Args:
        latent_dim: dimension d of a latent code.
        channels: number of channels C of an image.
        resolution: height and width of an image in pixels.
        width: number of feature maps at full resolution; the number doubles with each halving of the resolution.
        max_width: highest number of feature maps.
    """

    def __init__(self, latent_dim: int, channels: int, resolution: int, width: int = 24, max_width: int = 96) -> None:
        super().__init__()
        levels = resolution.bit_length() - 3  # halvings down to 4x4
        widths = [min(max_width, width << level) for level in range(levels + 1)]
        layers = [nn.Conv2d(channels, widths[0], 3, padding=1), nn.LeakyReLU(0.2)]
        for in_channels, out_channels in pairwise(widths):
            layers += [
                nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.LeakyReLU(0.2),
            ]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1] * (resolution >> levels) ** 2, latent_dim)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.trunk(image).flatten(1))
