"""Feature extractors for the baselines PaDiM and PatchCore.

A feature extractor is a function that maps images (B,C,H,W) in [-1,1] to a list of feature maps (B,C_l,H_l,W_l). The
features of an image must not depend on the other images in the batch.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from rgi.baselines.kept_features import KeptFeatures
from rgi.errors import InputError
from rgi.generators import compact, progressive
from rgi.generators.store import GAN
from rgi.validation import typed

Features = Callable[[Tensor], list[Tensor]]
CHUNK = 32  # images per call of the extractor


def critic_features(gan: GAN, levels: Sequence[int] | None = None) -> nn.Module:
    """A feature extractor from a copy of a GAN's critic, which needs no other images than the clean training images.

    Args:
        gan: GAN of the compact family, whose critic has a map after each block, or of the progressive family, whose
            critic has a map after each scale.
        levels: numbers of the maps. Map 0 is the finest map, with half the resolution of the image. None for all maps.

    Raises:
        InputError: the GAN has no critic or another family, or a level does not exist.
    """
    extractors = {compact.Critic: _CompactMaps, progressive.Critic: _ProgressiveMaps}
    extractor = extractors.get(type(gan.critic))
    if extractor is None:
        raise InputError(
            f"the {gan.card.family} generator has no critic with features; use a generator of the compact or the "
            "progressive family, or other features"
        )
    maps = extractor(copy.deepcopy(gan.critic))
    depth = len(maps.stages)
    levels = range(depth) if levels is None else levels
    if not levels or not set(levels) <= set(range(depth)):
        raise InputError(f"levels={typed(levels)}: the critic has levels 0 to {depth - 1}; choose at least one")
    return _Selected(maps, levels)


def timm_features(name: str, levels: Sequence[int] = (1, 2, 3), checkpoint: str | Path | None = None) -> nn.Module:
    """A feature extractor from a network of timm that was trained on natural images, as in the papers.

    Args:
        name: name of the network, such as "wide_resnet50_2".
        levels: numbers of the network's stages. Stage 1 of a residual network has a quarter of the image's resolution.
        checkpoint: file with the network's weights; None to download the weights with timm.

    Raises:
        InputError: timm is not installed, does not know the network, or cannot load the weights.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError("timm_features: needs timm, which is not installed; run `pip install timm`") from error
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise InputError(f"checkpoint {checkpoint}: no such file; name the file with the weights of {name}, or None")
    overlay = None if checkpoint is None else {"file": str(checkpoint)}
    try:
        network = timm.create_model(
            name, pretrained=True, features_only=True, out_indices=tuple(levels), pretrained_cfg_overlay=overlay
        )
    except (RuntimeError, OSError, ValueError, LookupError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"timm: cannot load {name!r} with levels {list(levels)} ({reason}); name another one"
        ) from error
    return _Normalised(network, network.pretrained_cfg["mean"], network.pretrained_cfg["std"])


def embed(
    features: Features, images: Tensor, mode: str = "nearest", neighbourhood: int = 1, clean: bool = False
) -> Iterator[Tensor]:
    """Yield joint features (n,D,h,w) of n images at a time, with all maps at the resolution of the finest map.

    Args:
        features: feature extractor.
        images: images (N,C,H,W) in [-1,1].
        mode: interpolation mode for coarser maps, see `torch.nn.functional.interpolate`.
        neighbourhood: side in positions of the square, an odd number, over which each map is averaged first. Outside
            the map there are zeros, as in the code of PatchCore's authors.
        clean: the images are clean images of a fit, which other runs fit, too; see `rgi.baselines.kept_features`.

    Raises:
        InputError: the extractor returns values that are not feature maps or not finite.
    """
    extract = features.kept if clean and isinstance(features, KeptFeatures) else features
    for part in images.split(CHUNK):
        maps = extract(part)
        if not maps or not all(x.ndim == 4 and len(x) == len(part) for x in maps):
            raise InputError("features: the extractor returns no list of maps (B,D,h,w); use another extractor")
        size = max(tuple(x.shape[2:]) for x in maps)
        pad = neighbourhood // 2
        maps = [avg_pool2d(x.float(), neighbourhood, 1, pad) for x in maps]
        # Maps may have the channels-last memory layout of the critic, but later code needs the default layout.
        joint = torch.cat([interpolate(x, size, mode=mode) for x in maps], 1).contiguous()
        if not torch.isfinite(joint).all():
            raise InputError("features: the extractor returns NaN or infinite values; check its weights")
        yield joint


def upsample_scores(scores: Tensor, height: int, width: int) -> Tensor:
    """Upsample scores (B,h,w) to (B,H,W) with bilinear interpolation, which keeps the range of the scores.

    Args:
        scores: scores (B,h,w).
        height: height H in pixels.
        width: width W in pixels.
    """
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
    """Conversion of images in [-1,1] to normalised RGB images, the input of networks for natural images."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        if image.shape[1] not in (1, 3):
            raise InputError(f"images {tuple(image.shape)}: need one or three channels; set dataset.channels")
        rgb = image.expand(-1, 3, -1, -1)
        return list(self.network(((rgb + 1) / 2 - self.mean) / self.std))
