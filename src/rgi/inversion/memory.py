"""Number of images per batch, so that a batch fits into the free memory of the device."""

from pathlib import Path

import psutil
import torch
from torch import Tensor

from rgi.inversion.problem import Problem
from rgi.inversion.weights import tuning

MEMORY_SHARE = 0.5  # share of the free memory; other processes may need the rest
# Larger batches are not faster. On a CPU the activations would not fit into the caches. 256 images fill a large GPU.
MAX_IMAGES = {"cpu": 32, "cuda": 256}
TENSORS = 4  # tensors per weight of θ in full precision: weight, gradient and two moments of Adam
CONTAINER_FILES = [  # limit and usage of this container's memory, in version 2 and 1 of Linux' control groups
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
]


def images_at_once(problem: Problem) -> int:
    """Largest number of images per batch whose optimisation needs at most half of the free memory.

    The result is between 1 and `MAX_IMAGES`.

    Args:
        problem: objective of all images.
    """
    device = problem.gan.device
    most = MAX_IMAGES.get(device.type, MAX_IMAGES["cpu"])
    return max(1, min(most, int(MEMORY_SHARE * free_memory(device) / bytes_per_image(problem))))


def bytes_per_image(problem: Problem) -> int:
    """Memory that the optimisation of one image needs.

    The estimate includes all starts of an image. If the generator is tuned, the estimate includes the copies of the
    weights, one per start that is left when they are made.

    Args:
        problem: objective of the image.
    """
    config = problem.config
    starts = config.starts if config.accelerated and config.latent_start in ("pool", "auto") else 1
    needed = starts * _activation_bytes(problem)
    if config.tune_generator:
        network_bytes, master_bytes = problem.network.dtype.itemsize, problem.dtype.itemsize
        generator = problem.gan.generator
        weights = sum(generator.get_parameter(name).numel() for name in tuning(generator, config).names)
        copied_from = 0 if config.warm_moments else config.tune_from
        copies = min(starts, config.starts_in(copied_from))
        # The cast weights and their gradients have the precision of the network.
        needed += copies * weights * (TENSORS * master_bytes + 2 * network_bytes)
    return needed


def free_memory(device: torch.device) -> int:
    """Bytes that a device can still give: PyTorch's own cache counts as free, the limit of a container is respected."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min([psutil.virtual_memory().available, *_container_memory()])


def _container_memory() -> list[int]:
    """Bytes that the container of this process can still use; empty without a limit."""
    free = []
    for limit, usage in CONTAINER_FILES:
        try:
            free.append(max(0, int(limit.read_text()) - int(usage.read_text())))
        except (OSError, ValueError):  # no such file, or no limit ("max")
            continue
    return free


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
        problem.select(torch.tensor([0], device=code.device)).evaluate(image, code)
    return max(1, sum(sizes.values()))
