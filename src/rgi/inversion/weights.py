"""The generator's weights θ: shared and frozen, or one copy per image that R-RGI tunes."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from rgi.generators.pca import Tuned
from rgi.inversion.config import SolverConfig

ZEN5_FAMILY = 26  # "cpu family" of AMD's CPUs with the Zen 5 architecture


class SharedWeights:
    """A network of the GAN in a given precision, with one set of weights for all images.

    The GAN stays unchanged: a change of precision makes a copy of the network.

    Args:
        module: network of the GAN.
        dtype: precision of the network.
        compile: whether `torch.compile` compiles the network.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype, compile: bool = False) -> None:
        self.dtype = dtype
        unchanged = all(t.dtype == dtype for t in module.state_dict().values() if t.is_floating_point())
        self.module = module if unchanged else copy.deepcopy(module).to(dtype)
        self.network = compile_function(self.module) if compile else self.module

    def __call__(self, inputs: Tensor) -> Tensor:
        """Output of the network in the precision of ``inputs``."""
        return self.network(inputs.to(self.dtype)).to(inputs.dtype)

    def uncompiled(self, inputs: Tensor) -> Tensor:
        """Output of the network without compilation, for results that are stored.

        A compiled network on a GPU replays a CUDA graph, which overwrites the output of the previous call.
        """
        return self.module(inputs.to(self.dtype)).to(inputs.dtype)


def tuning(generator: nn.Module, config: SolverConfig) -> Tuned:
    """The weights of the generator that R-RGI moves, and how far.

    As in the paper, these are all weights. A linear generator moves fewer, unless z moves as in the paper, too.

    Args:
        generator: generator of the GAN.
        config: options of the method.
    """
    every = Tuned(tuple(name for name, _ in generator.named_parameters()), 1.0, 1.0)
    return getattr(generator, "tuned", every) if config.accelerated else every


class ImageWeights:
    """The generator with separate weights for each image.

    Image i depends on slice i of the weights only. One backward pass of the summed losses therefore gives the gradient
    of each image.

    Args:
        generator: generator of the GAN, which stays unchanged.
        count: number of images B.
        master: precision of the weights that the optimiser changes.
        dtype: precision of the forward pass.
        compile: whether `torch.compile` compiles the forward pass.
        names: names of the weights with a copy for each image; None for all.

    Attributes:
        parameters: one tensor (B, ...) for each of these weight tensors, a leaf in the precision ``master``.
        names: their names.
    """

    def __init__(
        self,
        generator: nn.Module,
        count: int,
        master: torch.dtype,
        dtype: torch.dtype,
        compile: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        self.dtype = dtype
        self.generator = generator
        weights = {name: parameter.detach() for name, parameter in generator.named_parameters()}
        self.names = list(weights if names is None else names)
        # `repeat` makes dense copies of weights in any layout. Under vmap, PyTorch returns wrong convolution gradients
        # for stacked weights in channels-last layout (seen with 2.13).
        self.parameters = [
            weights[name].to(master)[None].repeat(count, *[1] * weights[name].ndim).requires_grad_()
            for name in self.names
        ]
        self.shared = {name: each for name, each in weights.items() if name not in self.names}
        self.shared |= dict(generator.named_buffers())
        self.images = compile_function(self._images) if compile else self._images

    def __call__(self, z: Tensor) -> Tensor:
        """Images (B,C,H,W) in the precision of z.

        Args:
            z: latent codes (B,d), one for each copy of the weights.
        """
        return self.images(self.parameters, z, self.dtype)

    def full_precision(self, z: Tensor) -> Tensor:
        """Images (B,C,H,W), computed in the precision of z without compilation.

        Args:
            z: latent codes (B,d), one for each copy of the weights.
        """
        return self._images(self.parameters, z, z.dtype)

    def _images(self, parameters: list[Tensor], z: Tensor, dtype: torch.dtype) -> Tensor:
        stacked = {name: parameter.to(dtype) for name, parameter in zip(self.names, parameters, strict=True)}
        shared = {name: each.to(dtype) if each.is_floating_point() else each for name, each in self.shared.items()}

        def one(own: dict[str, Tensor], code: Tensor) -> Tensor:
            return functional_call(self.generator, (own, shared), (code[None],))[0]

        return vmap(one)(stacked, z.to(dtype)).to(z.dtype)


def compile_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with `torch.compile`, once per shape of its arguments; a GPU replays it as a CUDA graph."""
    return torch.compile(function, dynamic=False, mode="reduce-overhead" if torch.cuda.is_available() else "default")


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware, at least twice as fast as float32.

    These devices are GPUs with compute capability 8 or higher, and CPUs with AMX or with the full-width AVX512-BF16 of
    Zen 5. On an older CPU with AVX512-BF16, an inversion was slower in bfloat16 than in float32 by 5 to 25 %.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or is_zen5())


def is_zen5(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU is an AMD Zen 5 or a later one; False on other systems than Linux.

    Args:
        cpuinfo: the file in which Linux describes the CPUs.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return facts.get("vendor_id") == "AuthenticAMD" and int(facts["cpu family"]) >= ZEN5_FAMILY
