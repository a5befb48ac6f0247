"""Features of a fixed random network. No download and no training is necessary."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from rgi.errors import InputError

MIN_SIZE = 16  # pixels: smallest width and height of an image
WIDTHS = (16, 32, 64, 128)  # width doubles when the area falls to a quarter, so all stages need the same time
SLOPE = 0.2  # of the leaky rectifiers


class RandomFeatures(nn.Module):
    """An untrained convolutional network with fixed random weights.

    The network has four stages with a 3x3 convolution each, and halves the resolution between stages. The features are
    the mean and the standard deviation over all positions of each channel after each stage. They therefore depend
    little on the position of an object in the image.

    Random features distinguish distributions of images well. They are fairer than features trained on ImageNet if the
    images differ much from ImageNet (Naeem et al., *Reliable fidelity and diversity metrics for generative models*,
    ICML 2020).

    Args:
        channels: number of channels of the images, one or three.
        seed: seed of the He-normal weights. Weights are drawn on the CPU, so features on different machines differ only
            by rounding.

    Attributes:
        num_features: number of features F of an image.

    Raises:
        InputError: the number of channels is not one or three.
    """

    num_features = 2 * sum(WIDTHS)

    def __init__(self, channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise InputError(f"channels={channels}: the random network takes images with one or three channels")
        random = torch.Generator().manual_seed(seed)
        self.stages = nn.ModuleList()
        for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
            # The normal constructor would change the state of the global generator.
            stage = nn.utils.skip_init(nn.Conv2d, before, after, 3, padding=1)
            nn.init.kaiming_normal_(stage.weight, SLOPE, generator=random)
            nn.init.normal_(stage.bias, std=0.1, generator=random)
            self.stages.append(stage)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N,480) of images.

        Args:
            images: (N,C,H,W) in [-1,1], H and W at least 16.

        Raises:
            InputError: the number of channels does not fit, or an image is too small.
        """
        channels = self.stages[0].in_channels
        if images.ndim != 4 or images.shape[1] != channels or min(images.shape[2:]) < MIN_SIZE:
            raise InputError(f"images {tuple(images.shape)}: pass (N,{channels},H,W) of at least {MIN_SIZE} pixels")
        x, statistics = images.float(), []
        for depth, stage in enumerate(self.stages):
            x = functional.leaky_relu(stage(functional.avg_pool2d(x, 2) if depth else x), SLOPE)
            mean = x.mean((2, 3), keepdim=True)
            # Tensor.std would need as much time as all other operations together.
            statistics += [mean.flatten(1), (x - mean).square().mean((2, 3)).sqrt()]
        return torch.cat(statistics, 1)
