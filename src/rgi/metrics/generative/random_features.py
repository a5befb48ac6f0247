"""Features of a fixed random network, which need no download and no training."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from rgi.errors import InputError

MIN_SIZE = 16  # pixels: the smallest image that the network takes
WIDTHS = (16, 32, 64, 128)  # doubled where the area is quartered, so that each stage costs the same
SLOPE = 0.2


class RandomFeatures(nn.Module):
    """A convolutional network that nobody trained, but that is the same for everybody.

    Spatial means and deviations after each of four stages of 3x3 convolutions, with halvings between them. Random
    embeddings are known to suffice for telling distributions of images apart, and to be fairer where the images have
    little in common with ImageNet (Naeem et al., *Reliable fidelity and diversity metrics for generative models*, ICML
    2020). Where in the image something is goes mostly unseen.

    Args:
        channels: one or three.
        seed: of the He-normal weights; drawn on the CPU, so that machines differ by rounding only.

    Raises:
        InputError: another number of channels.
    """

    num_features = 2 * sum(WIDTHS)

    def __init__(self, channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise InputError(f"channels={channels}: a random network is for images with one or three")
        random = torch.Generator().manual_seed(seed)
        self.stages = nn.ModuleList()
        for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
            # An ordinary constructor would draw weights from the global random numbers.
            stage = nn.utils.skip_init(nn.Conv2d, before, after, 3, padding=1)
            nn.init.kaiming_normal_(stage.weight, SLOPE, generator=random)
            nn.init.normal_(stage.bias, std=0.1, generator=random)
            self.stages.append(stage)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(N,C,H,W) in [-1,1] of at least 16 pixels to features (N,480).

        Raises:
            InputError: other channels, smaller images.
        """
        channels = self.stages[0].in_channels
        if images.ndim != 4 or images.shape[1] != channels or min(images.shape[2:]) < MIN_SIZE:
            raise InputError(f"images {tuple(images.shape)}: pass (N,{channels},H,W) of at least {MIN_SIZE} pixels")
        x, statistics = images.float(), []
        for depth, stage in enumerate(self.stages):
            x = functional.leaky_relu(stage(functional.avg_pool2d(x, 2) if depth else x), SLOPE)
            mean = x.mean((2, 3), keepdim=True)
            # Tensor.std takes as long as all the rest.
            statistics += [mean.flatten(1), (x - mean).square().mean((2, 3)).sqrt()]
        return torch.cat(statistics, 1)
