"""Alternatives to the compact GAN: blocks, norms and critics from the literature on GANs with few training images.

The networks have the interface of `rgi.generators.compact`.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from rgi.generators import compact
from rgi.generators.progressive import normalise
from rgi.training.small_data import SmallDataTraining


class SkipLayerExcitation(nn.Module):
    """Skip-layer excitation (Liu et al. 2021, FastGAN): a coarse layer gates the feature maps of a fine layer."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(coarse, fine, 4)
        self.excite = nn.Conv2d(fine, fine, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(coarse, 4)
        return fine * torch.sigmoid(self.excite(leaky_relu(self.squeeze(pooled), 0.1)))


class BatchNormGenerator(nn.Module):
    """Generator with batch norm after each convolution (Radford et al. 2016)."""

    def __init__(self, latent_dim: int, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.base = nn.Linear(latent_dim, widths[0] * 16, bias=False)
        self.base_norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                nn.Conv2d(inner, outer, 3, padding=1, bias=False),
                nn.BatchNorm2d(outer),
                nn.LeakyReLU(0.2),
            )
            for inner, outer in pairwise(widths)
        )
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = leaky_relu(self.base_norm(self.base(z).unflatten(1, (-1, 4, 4))), 0.2)
        for block in self.blocks:
            x = block(x)
        return self.to_image(x)


class SkipGenerator(BatchNormGenerator):
    """Generator with batch norm and two skip-layer excitations.

    At a resolution of 64 pixels, the excitations go from 4 to 32 and from 8 to 64 pixels.
    """

    def __init__(self, latent_dim: int, channels: int, widths: list[int]) -> None:
        super().__init__(latent_dim, channels, widths)
        self.span = len(widths) - 2
        self.skips = nn.ModuleList(SkipLayerExcitation(widths[i], widths[i + self.span]) for i in range(2))

    def forward(self, z: Tensor) -> Tensor:
        x = leaky_relu(self.base_norm(self.base(z).unflatten(1, (-1, 4, 4))), 0.2)
        features = [x]
        for index, block in enumerate(self.blocks, 1):
            x = block(x)
            if index >= self.span:
                x = self.skips[index - self.span](features[index - self.span], x)
            features.append(x)
        return self.to_image(x)


class PixelNorm(nn.Module):
    """Pixel norm (Karras et al. 2018) with a learned scale and shift per feature map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width, 1, 1)), nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return normalise(x) * self.scale + self.shift


class PixelNormGenerator(BatchNormGenerator):
    """Generator with pixel norm instead of batch norm, so images of a batch are independent in training."""

    def __init__(self, latent_dim: int, channels: int, widths: list[int]) -> None:
        super().__init__(latent_dim, channels, widths)
        self.base_norm = PixelNorm(widths[0])
        for block, width in zip(self.blocks, widths[1:], strict=True):
            block[2] = PixelNorm(width)


class WeightNormGenerator(compact.Generator):
    """Generator with weight norm (Salimans, Kingma 2016) in the blocks."""

    def __init__(self, latent_dim: int, channels: int, widths: list[int]) -> None:
        super().__init__(latent_dim, channels, widths)
        for block in self.blocks:
            weight_norm(block[1])


class ModulatedConv(nn.Module):
    """Modulated convolution (StyleGAN2): the style scales the input maps, and the output is normalised again."""

    def __init__(self, style: int, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.style = nn.Linear(style, inner)
        nn.init.ones_(self.style.bias)
        self.bias = nn.Parameter(torch.zeros(outer, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.style(style)
        norm = (scale.square() @ self.conv.weight.square().sum((2, 3)).T + 1e-8).rsqrt()
        return leaky_relu(self.conv(x * scale[..., None, None]) * norm[..., None, None] + self.bias, 0.2) * 2**0.5


class ModulatedGenerator(nn.Module):
    """Generator with a mapping network and one modulated convolution per resolution. The base also depends on z."""

    def __init__(self, latent_dim: int, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.mapping = nn.Sequential(
            nn.Linear(latent_dim, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2)
        )
        self.base = nn.Linear(latent_dim, widths[0] * 16)
        self.blocks = nn.ModuleList(ModulatedConv(128, inner, outer) for inner, outer in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        style = self.mapping(normalise(z))
        x = normalise(leaky_relu(self.base(z), 0.2).unflatten(1, (-1, 4, 4)))
        for block in self.blocks:
            x = block(interpolate(x, scale_factor=2), style)
        return self.to_image(x)


class SpectralCritic(compact.Critic):
    """Critic with spectral norm (Miyato et al. 2018): the largest singular value of each layer is 1."""

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__(channels, widths)
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                spectral_norm(module)


class ReconstructingCritic(compact.Critic):
    """Critic with a decoder (FastGAN) that reconstructs real images at half size from feature maps of 8x8 pixels."""

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__(channels, widths)
        inner = widths[1]
        layers, steps = [], len(widths) - 3
        for _ in range(steps):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inner, 32, 3, padding=1), nn.LeakyReLU(0.2)]
            inner = 32
        self.decoder = nn.Sequential(*layers, nn.Conv2d(inner, channels, 3, padding=1))

    def reconstruct(self, image: Tensor) -> Tensor:
        """Reconstruct images (B,C,H,W) at half size from the features of the critic."""
        x = self.from_image(image)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.decoder(x)


class AlternativeTraining(SmallDataTraining):
    """Training of the compact GAN with other networks and, for `ReconstructingCritic`, a reconstruction term.

    Args:
        generator: class of the generator.
        critic: class of the critic.
        settings: arguments of `SmallDataTraining`.
    """

    def __init__(self, generator: type, critic: type, **settings: object) -> None:
        super().__init__(**settings)
        resolution, latent_dim, channels = (
            self.architecture[name] for name in ("resolution", "latent_dim", "channels")
        )
        levels = resolution.bit_length() - 3
        widths = [min(128, 16 << level) for level in range(levels, -1, -1)]
        if (generator, critic) != (compact.Generator, compact.Critic):
            self.generator = generator(latent_dim, channels, widths).to(memory_format=torch.channels_last)
            self.critic = critic(channels, widths).to(memory_format=torch.channels_last)
            self.average = type(self.average)(
                self.generator, multi_avg_fn=self.average.multi_avg_fn, use_buffers=True
            ).requires_grad_(False)

    def critic_loss(self, real: Tensor, codes: Tensor, step: int, random: torch.Generator) -> Tensor:
        """Loss of the critic, with the reconstruction term if the critic has a decoder."""
        loss = super().critic_loss(real, codes, step, random)
        if isinstance(self.critic, ReconstructingCritic):
            augmented = self._augmented(real, random)
            half = nn.functional.avg_pool2d(augmented, 2)
            loss = loss + (self.critic.reconstruct(augmented) - half).abs().mean()
        return loss
