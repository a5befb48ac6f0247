"""How many images are worked on at once: as many as fit into memory, and as are of use."""

import psutil
import torch
from torch import Tensor

from rgi.inversion.problem import Problem

MEMORY_SHARE = 0.5  # of the memory that is free; others use it as well
# More images at once are no faster: on a CPU their activations leave the caches, a large GPU is busy with these.
MAX_IMAGES = {"cpu": 32, "cuda": 256}
COPIES = 4  # of θ in its precision: weight, gradient, two moments


def images_at_once(problem: Problem) -> int:
    """The largest number of images whose networks, for all starts that are tried, take half of the free memory."""
    config, device = problem.config, problem.gan.device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    tries = config.starts if config.ours and config.latent_start in ("pool", "auto") else 1
    bytes_per_image = tries * _activation_bytes(problem)
    if config.tune_generator:
        network_bytes, master_bytes = problem.network.dtype.itemsize, problem.dtype.itemsize
        weights = sum(parameter.numel() for parameter in problem.gan.generator.parameters())
        # `network_bytes` twice: the cast weights and their gradients.
        bytes_per_image += weights * (COPIES * master_bytes + 2 * network_bytes)
    return max(1, min(MAX_IMAGES.get(device.type, MAX_IMAGES["cpu"]), int(MEMORY_SHARE * free / bytes_per_image)))


def _activation_bytes(problem: Problem) -> int:
    """What one image's forward pass keeps for its backward pass, measured."""
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
