"""Images to maps of features, for the baselines that compare features instead of pixels.

A feature extractor is anything that maps images (B,C,H,W) in [-1,1] to a list of maps (B,C_l,H_l,W_l), each image as
if it were alone.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from rgi.errors import InputError
from rgi.generators import compact, progressive
from rgi.generators.store import GAN

Features = Callable[[Tensor], list[Tensor]]
CHUNK = 32  # images whose features are held at a time


def critic_features(gan: GAN, levels: Sequence[int] | None = None) -> nn.Module:
    """The maps inside a GAN's critic, which was trained on no other images than the baselines are.

    Args:
        gan: a compact one, whose critic gives a map after each block, or a progressive one, after each scale. Its
            critic is copied.
        levels: which of these maps, 0 being the finest, at half the image's resolution; None takes all.

    Raises:
        InputError: a GAN without a critic, or of another family; levels that it does not have.
    """
    walks = {compact.Critic: _CompactMaps, progressive.Critic: _ProgressiveMaps}
    walk = walks.get(type(gan.critic))
    if walk is None:
        raise InputError(
            f"the {gan.card.family} generator has no critic whose features could be taken; take one of the compact or "
            "the progressive family, or other features"
        )
    maps = walk(copy.deepcopy(gan.critic))
    depth = len(maps.stages)
    levels = range(depth) if levels is None else levels
    if not levels or not set(levels) <= set(range(depth)):
        raise InputError(f"levels={list(levels)}: the critic has 0 to {depth - 1}; name at least one of them")
    return _Selected(maps, levels)


def timm_features(name: str, levels: Sequence[int] = (1, 2, 3), checkpoint: str | Path | None = None) -> nn.Module:
    """The maps of a network of timm, pretrained on natural images, as the papers take them.

    Args:
        name: of the network, such as "wide_resnet50_2".
        levels: which of its stages; for residual networks 1 is at a quarter of the image's resolution.
        checkpoint: a file of its weights; None lets timm fetch them.

    Raises:
        InputError: timm is not there, does not know the network, or cannot get its weights.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError("timm_features: needs timm, which is not installed; `pip install timm` adds it") from error
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise InputError(f"checkpoint {checkpoint}: no such file; name the weights of {name}, or None to fetch them")
    overlay = None if checkpoint is None else {"file": str(checkpoint)}
    try:
        network = timm.create_model(
            name, pretrained=True, features_only=True, out_indices=tuple(levels), pretrained_cfg_overlay=overlay
        )
    except (RuntimeError, OSError, ValueError, LookupError, AssertionError) as error:
        raise InputError(f"timm cannot give the network {name!r} with levels {list(levels)}: {error}") from error
    return _Normalised(network, network.pretrained_cfg["mean"], network.pretrained_cfg["std"])


def embed(features: Features, images: Tensor, mode: str = "nearest", neighbourhood: int = 1) -> Iterator[Tensor]:
    """Features (n,D,h,w) of n images at a time, all maps at the resolution of the finest one.

    Args:
        features: the extractor.
        images: (N,C,H,W).
        mode: how coarser maps are brought to the finest one's resolution, as in `torch.nn.functional.interpolate`.
        neighbourhood: each position takes the mean over so many (odd) positions a side first, in its own map.

    Raises:
        InputError: an extractor that gives something else than maps, NaN or infinite values.
    """
    for part in images.split(CHUNK):
        maps = features(part)
        if not maps or not all(x.ndim == 4 and len(x) == len(part) for x in maps):
            raise InputError("features: the extractor must map images (B,C,H,W) to a list of maps (B,D,h,w)")
        size = max(tuple(x.shape[2:]) for x in maps)
        pad = neighbourhood // 2
        maps = [avg_pool2d(x.float(), neighbourhood, 1, pad, count_include_pad=False) for x in maps]
        # The layout is the critic's; what follows expects the ordinary one.
        joint = torch.cat([interpolate(x, size, mode=mode) for x in maps], 1).contiguous()
        if not torch.isfinite(joint).all():
            raise InputError("features: the extractor gives NaN or infinite values; are its weights right?")
        yield joint


def upsample_scores(scores: Tensor, height: int, width: int) -> Tensor:
    """(B,h,w) -> (B,H,W), bilinear, which keeps them >= 0."""
    return interpolate(scores[:, None], (height, width), mode="bilinear").squeeze(1)


class _CompactMaps(nn.Module):
    def __init__(self, critic: compact.Critic) -> None:
        super().__init__()
        self.from_image, self.stages = critic.from_image, critic.blocks

    def forward(self, image: Tensor) -> list[Tensor]:
        x, maps = self.from_image(image), []
        for block in self.stages:
            x = block(x)
            maps.append(x)
        return maps


class _ProgressiveMaps(nn.Module):
    def __init__(self, critic: progressive.Critic) -> None:
        super().__init__()
        self.slope, self.from_image = critic.slope, critic.from_image[-1]
        self.stages = nn.ModuleList(reversed(critic.scales))

    def forward(self, image: Tensor) -> list[Tensor]:
        x, maps = leaky_relu(self.from_image(image), self.slope), []
        for convs in self.stages:
            for conv in convs:
                x = leaky_relu(conv(x), self.slope)
            x = avg_pool2d(x, 2)
            maps.append(x)
        return maps


class _Selected(nn.Module):
    def __init__(self, maps: nn.Module, levels: Sequence[int]) -> None:
        super().__init__()
        self.maps, self.levels = maps, sorted(set(levels))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.maps(image)
        return [maps[level] for level in self.levels]


class _Normalised(nn.Module):
    """Images in [-1,1], grey ones as RGB, in the units that a network of natural images was trained with."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        if image.shape[1] not in (1, 3):
            raise InputError(f"images {tuple(image.shape)}: a network of natural images takes one or three channels")
        rgb = image.expand(-1, 3, -1, -1)
        return list(self.network(((rgb + 1) / 2 - self.mean) / self.std))
