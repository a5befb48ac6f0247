"""The generator's weights θ: shared and frozen, or one copy per image that R-RGI tunes."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


class SharedWeights:
    """A network with the GAN's own weights, in the networks' precision; the GAN itself stays as it is."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        self.dtype = dtype
        unchanged = all(t.dtype == dtype for t in module.state_dict().values() if t.is_floating_point())
        self.module = module if unchanged else copy.deepcopy(module).to(dtype)

    def __call__(self, inputs: Tensor) -> Tensor:
        """The network's output in the precision of its inputs."""
        return self.module(inputs.to(self.dtype)).to(inputs.dtype)


class ImageWeights:
    """G with weights of its own for each image, stacked along a first dimension (B, ...).

    ``parameters`` are leaves of the master precision; image i depends on slice i alone, so that one backward pass of
    the summed losses gives every image its own gradient.
    """

    def __init__(self, generator: nn.Module, count: int, master: torch.dtype, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.generator = generator
        self.names = [name for name, _ in generator.named_parameters()]
        # Repeating makes dense copies, whatever the layout of the original: under vmap PyTorch returns wrong
        # convolution gradients for stacked weights in channels-last layout (seen with 2.13).
        self.parameters = [
            parameter.detach().to(master)[None].repeat(count, *[1] * parameter.ndim).requires_grad_()
            for parameter in generator.parameters()
        ]
        self.buffers = {
            name: buffer.to(dtype) if buffer.is_floating_point() else buffer
            for name, buffer in generator.named_buffers()
        }

    def __call__(self, z: Tensor) -> Tensor:
        """Images (B,C,H,W) in z's precision; z (B,d) with as many rows as copies."""
        stacked = {name: p.to(self.dtype) for name, p in zip(self.names, self.parameters, strict=True)}
        return vmap(self._one)(stacked, z.to(self.dtype)).to(z.dtype)

    def _one(self, parameters: dict[str, Tensor], z: Tensor) -> Tensor:
        return functional_call(self.generator, (parameters, self.buffers), (z[None],))[0]
