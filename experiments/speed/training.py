"""Speed of the training of the progressive GAN: our step and a plain implementation of the published step.

Our step is the step of `GrowingTraining` with ``trainer.precision=bf16-mixed``, or in float32 on devices without native
bfloat16. `PlainTraining` has none of our optimisations. It uses float32 and the contiguous memory layout. The critic
runs separately on real, generated and mixed images. All weights get gradients, even if a step does not use them. The
weights are processed one after another. Both trainings start from the same weights, and use the same images and random
numbers, so they take the same steps (tests/test_training_speed.py).
"""

import copy
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from cases import training_options
from measure import CORES, now
from table import Row
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from rgi.inversion.weights import native_bfloat16
from rgi.training.growing import DRIFT, PENALTY, GrowingTraining

# Settings of the paper. SCHEDULE is the number of steps of the whole training.
BATCH, LATENT, RESOLUTION, SCHEDULE = 16, 512, 128, 528_000
TARGETS = {"cpu": 1.5, "cuda": 3.0}  # target for the speed-up, plain time over our time


@dataclass(frozen=True)
class Plan:
    """Plan of a measurement.

    Attributes:
        scale: scale of the training with 4·2^scale pixels.
        steps: number of timed steps of each training.
        ours_before: number of our warm-up steps.
        plain_before: number of plain warm-up steps.
    """

    scale: int
    steps: int
    ours_before: int
    plain_before: int


# At 128 pixels, a plain step takes minutes on a CPU, so the setup time in the first step does not matter.
PLANS = {"cpu": (Plan(3, 3, 1, 1), Plan(5, 1, 1, 0)), "cuda": (Plan(3, 20, 5, 5), Plan(5, 20, 5, 5))}


class OurTraining(GrowingTraining):
    """Our training without a Lightning trainer, in the middle of a scale, where no layer fades in (α = 0).

    Args:
        scale: scale of the training with 4·2^scale pixels.
        widths: feature maps at 4, 8, ..., 128 pixels; None for the paper's.
        device: device of the networks.
    """

    def __init__(self, scale: int, widths: list[int] | None, device: torch.device) -> None:
        torch.manual_seed(0)
        sizes = {"latent_dim": LATENT, "channels": 3, "resolution": RESOLUTION, "options": {"widths": widths}}
        super().__init__(family="progressive", **sizes, steps=SCHEDULE, seed=0, **training_options("progressive"))
        self.done = self.first_step_of_scale(scale) + SCHEDULE // self.half_scales
        self.where = self.scale_and_alpha(self.done)
        self.average.n_averaged.fill_(1)  # the value after the start of a scale
        self.to(device)
        self.adams = self.configure_optimizers()
        self.values: list[Tensor] = []

    @property
    def global_step(self) -> int:
        """Number of finished steps."""
        return self.done

    @property
    def world_size(self) -> int:
        """Number of processes: 1."""
        return 1

    def optimizers(self, use_pl_optimizer: bool = True) -> list[torch.optim.Optimizer]:
        """The optimisers without the wrappers of Lightning, which only count steps."""
        return self.adams

    def manual_backward(self, loss: Tensor) -> None:
        """Store the loss and compute the gradients. bfloat16 needs no scaling of the loss."""
        self.values.append(loss.detach())
        loss.backward()

    def log_dict(self, *_: Any, **__: Any) -> None:
        """Do nothing, because there is no logger."""

    def step(self, real: Tensor) -> None:
        """Train both networks for one step on real images (B,C,H,W) with 128 pixels."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=precision(self.device) == "bfloat16"):
            self.training_step(real, 0)
        self.done += 1


class PlainTraining:
    """Plain implementation of the published training step.

    Args:
        ours: training with the same initial weights and random numbers.
    """

    def __init__(self, ours: OurTraining) -> None:
        networks = (copy.deepcopy(network) for network in (ours.generator, ours.critic))
        self.generator, self.critic = (network.to(memory_format=torch.contiguous_format) for network in networks)
        self.average = copy.deepcopy(self.generator)
        self.adams = {
            network: Adam(network.parameters(), lr=ours.lr, betas=ours.betas, foreach=False, fused=False)
            for network in (self.generator, self.critic)
        }
        self.ours, self.done, self.where = ours, ours.done, ours.where
        self.decay = training_options("progressive")["ema"]
        self.values: list[Tensor] = []

    def step(self, real: Tensor) -> None:
        """Train both networks for one step on real images (B,C,H,W) with the size of the scale."""
        random = self.ours.random(self.done)
        for_critic, for_generator = self.ours.latents(len(real), random)
        share = torch.rand(len(real), 1, 1, 1, generator=random).to(real.device)
        self.descend(self.critic, self.critic_loss(real, for_critic, share))
        self.descend(self.generator, -self.score(self.generator(for_generator, *self.where)).sum())
        for kept, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            kept.data.mul_(self.decay).add_(current.data, alpha=1 - self.decay)
        self.done += 1

    def critic_loss(self, real: Tensor, codes: Tensor, share: Tensor) -> Tensor:
        """Loss of the critic, Σ -D(x) + D(G(z)) + 10 (|∇D(x̂)| - 1)² + 0.001 D(x)².

        Args:
            real: real images x (B,C,H,W).
            codes: latent codes z (B,d).
            share: shares of the real images in the mixed images x̂, (B,1,1,1) in [0,1].
        """
        fake = self.generator(codes, *self.where).detach()
        for_real, for_fake = self.score(real), self.score(fake)
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.score(mixed).sum(), mixed, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square()
        return (for_fake - for_real + DRIFT * for_real.square() + PENALTY * penalty).sum()

    def score(self, images: Tensor) -> Tensor:
        """Scores of the critic (B,) for images (B,C,H,W)."""
        scale, alpha = self.where
        return self.critic(images, together=True, scale=scale, alpha=alpha)

    def descend(self, network: nn.Module, loss: Tensor) -> None:
        """Take one step of Adam. The other network also gets gradients, which are not used."""
        self.values.append(loss.detach())
        for each in self.adams:
            each.zero_grad()
        loss.backward()
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad[~parameter.grad.isfinite()] = 0
        self.adams[network].step()


def precision(device: torch.device) -> str:
    """Precision of our networks: "bfloat16" or "float32"."""
    return "bfloat16" if native_bfloat16(device) else "float32"


def training_rows(plan: Plan, widths: list[int] | None, device: torch.device, products: dict[str, float]) -> list[Row]:
    """Measure both trainings at one scale.

    Args:
        plan: plan of the measurement.
        widths: feature maps at 4, 8, ..., 128 pixels; None for the paper's.
        device: device of the training.
        products: rate of a matrix product on the device in GFLOP/s, by precision.
    """
    torch.set_num_threads(CORES)
    ours = OurTraining(plan.scale, widths, device)
    plain = PlainTraining(ours)
    seconds = alternate(plan, ours, plain)
    rate = step_work(plan.scale, widths) / seconds["ours"] / 1e9
    case = f"train_{4 << plan.scale}_{'gpu' if device.type == 'cuda' else 'cpu'}"
    rows = []
    for method, value in seconds.items():
        rows.append(Row(case, BATCH, method, "step_seconds", value, "s"))
        rows.append(Row(case, BATCH, method, "images_per_second", BATCH / value, "1/s"))
    numbers = (
        ("timed_steps", plan.steps, ""),
        ("threads", CORES, ""),
        ("speedup_over_plain", seconds["plain"] / seconds["ours"], ""),
        ("target", TARGETS[device.type], ""),
        ("first_loss_difference", difference(ours, plain), ""),
        ("network_rate", rate, "GFLOP/s"),
        ("share_of_matmul", 100 * rate / products[precision(device)], "%"),
    )
    return rows + [Row(case, BATCH, "ours", *number) for number in numbers]


def alternate(plan: Plan, ours: OurTraining, plain: PlainTraining) -> dict[str, float]:
    """Run the steps of both trainings in alternation and return the median seconds per step."""
    device, random = ours.device, torch.Generator().manual_seed(2)
    images = torch.rand(BATCH, 3, RESOLUTION, RESOLUTION, generator=random) * 2 - 1
    # Our step includes the downscaling of the images. The plain training gets downscaled images.
    small, images = ours.resize_to_scale(images, *ours.where).to(device), images.to(device)
    sides = (("ours", ours, images, plan.ours_before), ("plain", plain, small, plan.plain_before))
    seconds = {"ours": [], "plain": []}
    # Without this, cuDNN would compute the plain training in TF32. Our training has no float32 convolutions on a GPU.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for turn in tqdm(range(-max(plan.ours_before, plan.plain_before), plan.steps), desc="training", leave=False):
            for name, training, real, before in sides:
                if turn < -before:
                    continue
                started = now(device)
                training.step(real)
                if turn >= 0:
                    seconds[name].append(now(device) - started)
    return {name: median(times) for name, times in seconds.items()}


def difference(ours: OurTraining, plain: PlainTraining) -> float:
    """Relative difference of the critic losses in the first step. Only the lower precision causes it."""
    our_loss, plain_loss = (float(training.values[0]) for training in (ours, plain))
    return abs(our_loss - plain_loss) / abs(plain_loss)


def step_work(scale: int, widths: list[int] | None) -> float:
    """Count the operations of the networks in one of our steps on the meta device. A multiply-add is two operations.

    Args:
        scale: scale of the training.
        widths: feature maps at 4, 8, ..., 128 pixels; None for the paper's.
    """
    device = torch.device("meta")
    training = OurTraining(scale, widths, device)
    training.done += 1  # a step without logging
    training.average.n_averaged = torch.tensor(1)  # every step reads this value
    with FlopCounterMode(display=False) as counter:
        counter.mod_tracker.__exit__()  # the module tracker fails with autograd.grad of the penalty
        training.training_step(torch.empty(BATCH, 3, 4 << scale, 4 << scale, device=device), 0)
    return counter.get_total_flops()
