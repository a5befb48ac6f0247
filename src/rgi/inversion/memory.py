"""Number of images per batch, so that a batch fits into the free memory of the device."""

import psutil
import torch
from torch import Tensor

from rgi.inversion.problem import Problem

MEMORY_SHARE = 0.5  # share of the free memory; other processes may need the rest
# Larger batches are not faster. On a CPU the activations would not fit into the caches. 256 images fill a large GPU.
MAX_IMAGES = {"cpu": 32, "cuda": 256}
COPIES = 4  # tensors per weight of θ in full precision: weight, gradient and two moments of Adam


def images_at_once(problem: Problem) -> int:
    """Largest number of images per batch whose optimisation needs at most half of the free memory.

    The result is between 1 and `MAX_IMAGES`. The estimate includes all starts of an image, and one copy of the weights
    per image if the generator is tuned.

    Args:
        problem: objective of all images.
    """
    config, device = problem.config, problem.gan.device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    tries = config.starts if config.accelerated and config.latent_start in ("pool", "auto") else 1
    bytes_per_image = tries * _activation_bytes(problem)
    if config.tune_generator:
        network_bytes, master_bytes = problem.network.dtype.itemsize, problem.dtype.itemsize
        weights = sum(parameter.numel() for parameter in problem.gan.generator.parameters())
        # The cast weights and their gradients have the precision of the network.
        bytes_per_image += weights * (COPIES * master_bytes + 2 * network_bytes)
    return max(1, min(MAX_IMAGES.get(device.type, MAX_IMAGES["cpu"]), int(MEMORY_SHARE * free / bytes_per_image)))


def _activation_bytes(problem: Problem) -> int:
    """Measured memory of the tensors that the forward pass of one image saves for the backward pass."""
    parameters = {parameter.data_ptr() for parameter in problem.network.module.parameters()}
    sizes: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in parameters:
            sizes[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        code = problem.observed.new_zeros(1, problem.gan.card.latent_dim, requires_grad=True)
        image = problem.network.module(code.to(problem.network.dtype)).to(code.dtype)
        problem.select(torch.tensor([0], device=code.device)).evaluate(image)
    return max(1, sum(sizes.values()))
