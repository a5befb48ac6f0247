"""The generator's weights θ: shared and frozen, or one copy per image that R-RGI tunes."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


class SharedWeights:
    """A network with the GAN's own weights, in the networks' precision; the GAN itself stays as it is."""

    def __init__(self, module: nn.Module, dtype: torch.dtype, compile: bool = False) -> None:
        self.dtype = dtype
        unchanged = all(t.dtype == dtype for t in module.state_dict().values() if t.is_floating_point())
        self.module = module if unchanged else copy.deepcopy(module).to(dtype)
        self.network = compile_function(self.module) if compile else self.module

    def __call__(self, inputs: Tensor) -> Tensor:
        """The network's output in the precision of its inputs."""
        return self.network(inputs.to(self.dtype)).to(inputs.dtype)

    def uncompiled(self, inputs: Tensor) -> Tensor:
        """The same for results that are kept: a replayed CUDA graph writes over the output of its last call."""
        return self.module(inputs.to(self.dtype)).to(inputs.dtype)


class ImageWeights:
    """G with weights of its own for each image, stacked along a first dimension (B, ...).

    ``parameters`` are leaves of the master precision; image i depends on slice i alone, so that one backward pass of
    the summed losses gives every image its own gradient.
    """

    def __init__(
        self, generator: nn.Module, count: int, master: torch.dtype, dtype: torch.dtype, compile: bool = False
    ) -> None:
        self.dtype = dtype
        self.generator = generator
        self.names = [name for name, _ in generator.named_parameters()]
        # Repeating makes dense copies, whatever the layout of the original: under vmap PyTorch returns wrong
        # convolution gradients for stacked weights in channels-last layout (seen with 2.13).
        self.parameters = [
            parameter.detach().to(master)[None].repeat(count, *[1] * parameter.ndim).requires_grad_()
            for parameter in generator.parameters()
        ]
        self.buffers = dict(generator.named_buffers())
        self.images = compile_function(self._images) if compile else self._images

    def __call__(self, z: Tensor) -> Tensor:
        """Images (B,C,H,W) in z's precision; z (B,d) with as many rows as copies."""
        return self.images(self.parameters, z, self.dtype)

    def full_precision(self, z: Tensor) -> Tensor:
        """The same, computed in z's precision."""
        return self._images(self.parameters, z, z.dtype)

    def _images(self, parameters: list[Tensor], z: Tensor, dtype: torch.dtype) -> Tensor:
        stacked = {name: parameter.to(dtype) for name, parameter in zip(self.names, parameters, strict=True)}
        buffers = {name: b.to(dtype) if b.is_floating_point() else b for name, b in self.buffers.items()}

        def one(own: dict[str, Tensor], code: Tensor) -> Tensor:
            return functional_call(self.generator, (own, buffers), (code[None],))[0]

        return vmap(one)(stacked, z.to(dtype)).to(z.dtype)


def compile_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled by `torch.compile` for every shape it meets; on a GPU replayed as CUDA graphs."""
    return torch.compile(function, dynamic=False, mode="reduce-overhead" if torch.cuda.is_available() else "default")


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware, at twice the rate of float32 or more.

    That is a GPU of compute capability 8 or higher, and a CPU with AVX512-BF16 or AMX.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
