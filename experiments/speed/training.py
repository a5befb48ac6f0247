"""The speed of training the progressive GAN: ours against the published step, written out plainly.

Ours is the step of `GrowingTraining` under ``trainer.precision=bf16-mixed``, or in float32 on a device that does not
multiply bfloat16 natively. `PlainTraining` has nothing of what makes ours fast: float32, dense layout, one pass of the
critic each for real, generated and mixed images, gradients of all weights whoever needs them, and weights that are
mended, stepped and averaged one after another. Both begin with the same weights, see the same images, draw the same
numbers, and take the same steps (tests/test_training_speed.py).
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

# The paper's; SCHEDULE is the number of steps of the whole training.
BATCH, LATENT, RESOLUTION, SCHEDULE = 16, 512, 128, 528_000
TARGETS = {"cpu": 1.5, "cuda": 3.0}  # plain over ours


@dataclass(frozen=True)
class Plan:
    """How many steps of ours and plain are timed at a scale, in turn, and how many each takes before."""

    scale: int
    steps: int
    ours_before: int
    plain_before: int


# At 128 pixels a plain step takes minutes on a CPU, in which what the first step sets up is lost.
PLANS = {"cpu": (Plan(3, 3, 1, 1), Plan(5, 1, 1, 0)), "cuda": (Plan(3, 20, 5, 5), Plan(5, 20, 5, 5))}


class OurTraining(GrowingTraining):
    """Our training in the middle of a scale, where nothing fades in (α = 0), without a trainer.

    Args:
        scale: of 4·2^scale pixels.
        widths: feature maps at 4, 8, ..., 128 pixels, None for the paper's.
    """

    def __init__(self, scale: int, widths: list[int] | None, device: torch.device) -> None:
        torch.manual_seed(0)
        sizes = {"latent_dim": LATENT, "channels": 3, "resolution": RESOLUTION, "options": {"widths": widths}}
        super().__init__(family="progressive", **sizes, steps=SCHEDULE, seed=0, **training_options("progressive"))
        self.done = self.first_step_of_scale(scale) + SCHEDULE // self.half_scales
        self.where = self.scale_and_alpha(self.done)
        self.average.n_averaged.fill_(1)  # as the beginning of a scale leaves it
        self.to(device)
        self.adams = self.configure_optimizers()
        self.values: list[Tensor] = []

    @property
    def global_step(self) -> int:
        """Lightning's count."""
        return self.done

    @property
    def world(self) -> int:
        """One process."""
        return 1

    def optimizers(self, use_pl_optimizer: bool = True) -> list[torch.optim.Optimizer]:
        """As they are: Lightning's wrappers only count."""
        return self.adams

    def manual_backward(self, loss: Tensor) -> None:
        """Without the scaling that bfloat16 does not need; the losses are kept."""
        self.values.append(loss.detach())
        loss.backward()

    def log_dict(self, *_: Any, **__: Any) -> None:
        """There is nothing to log to."""

    def step(self, real: Tensor) -> None:
        """One step of both networks on images (B,C,H,W)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=precision(self.device) == "bfloat16"):
            self.training_step(real, 0)
        self.done += 1


class PlainTraining:
    """The published step, beginning with the weights of ours and drawing the same numbers."""

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
        """One step of both networks on images (B,C,H,W) of the scale's size."""
        random = self.ours.random(self.done)
        for_critic, for_generator = self.ours.latents(len(real), random)
        share = torch.rand(len(real), 1, 1, 1, generator=random).to(real.device)
        self.descend(self.critic, self.critic_loss(real, for_critic, share))
        self.descend(self.generator, -self.score(self.generator(for_generator, *self.where)).sum())
        for kept, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            kept.data.mul_(self.decay).add_(current.data, alpha=1 - self.decay)
        self.done += 1

    def critic_loss(self, real: Tensor, codes: Tensor, share: Tensor) -> Tensor:
        """Σ -D(x) + D(G(z)) + 10 (|∇D(x̂)| - 1)² + 0.001 D(x)²."""
        fake = self.generator(codes, *self.where).detach()
        for_real, for_fake = self.score(real), self.score(fake)
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.score(mixed).sum(), mixed, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square()
        return (for_fake - for_real + DRIFT * for_real.square() + PENALTY * penalty).sum()

    def score(self, images: Tensor) -> Tensor:
        """(B,)"""
        scale, alpha = self.where
        return self.critic(images, together=True, scale=scale, alpha=alpha)

    def descend(self, network: nn.Module, loss: Tensor) -> None:
        """A step of Adam, with gradients of the other network that nobody uses."""
        self.values.append(loss.detach())
        for either in self.adams:
            either.zero_grad()
        loss.backward()
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad[~parameter.grad.isfinite()] = 0
        self.adams[network].step()


def precision(device: torch.device) -> str:
    """What our networks multiply in."""
    return "bfloat16" if native_bfloat16(device) else "float32"


def training_rows(plan: Plan, widths: list[int] | None, device: torch.device, products: dict[str, float]) -> list[Row]:
    """Both sides at one scale; ``products`` are what matrix products achieve on the device, in GFLOP/s by precision."""
    torch.set_num_threads(CORES)
    ours = OurTraining(plan.scale, widths, device)
    plain = PlainTraining(ours)
    seconds = in_turn(plan, ours, plain)
    rate = step_work(plan.scale, widths) / seconds["ours"] / 1e9
    case = f"train_{4 << plan.scale}_{'gpu' if device.type == 'cuda' else 'cpu'}"
    rows = []
    for method, taken in seconds.items():
        rows.append(Row(case, BATCH, method, "step_seconds", taken, "s"))
        rows.append(Row(case, BATCH, method, "images_per_second", BATCH / taken, "1/s"))
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


def in_turn(plan: Plan, ours: OurTraining, plain: PlainTraining) -> dict[str, float]:
    """The median seconds of a step of each."""
    device, random = ours.device, torch.Generator().manual_seed(2)
    images = torch.rand(BATCH, 3, RESOLUTION, RESOLUTION, generator=random) * 2 - 1
    # Ours scales the images down in every step; a plain training finds them scaled.
    small, images = ours.resize_to_scale(images, *ours.where).to(device), images.to(device)
    sides = (("ours", ours, images, plan.ours_before), ("plain", plain, small, plan.plain_before))
    seconds = {"ours": [], "plain": []}
    # cuDNN would compute plain's float32 in TF32; ours leaves no convolution in float32 where there is a GPU to do so.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for turn in tqdm(range(-max(plan.ours_before, plan.plain_before), plan.steps), desc="training", leave=False):
            for name, training, real, before in sides:
                if turn < -before:
                    continue
                started = now(device)
                training.step(real)
                if turn >= 0:
                    seconds[name].append(now(device) - started)
    return {name: median(taken) for name, taken in seconds.items()}


def difference(ours: OurTraining, plain: PlainTraining) -> float:
    """Of the critic's losses in the first step, relative: all that the lower precision changes."""
    our_loss, plain_loss = (float(training.values[0]) for training in (ours, plain))
    return abs(our_loss - plain_loss) / abs(plain_loss)


def step_work(scale: int, widths: list[int] | None) -> float:
    """Operations of the networks in one step of ours, two for a multiply-add; counted without computing anything."""
    device = torch.device("meta")
    training = OurTraining(scale, widths, device)
    training.done += 1  # a step that reads no loss
    training.average.n_averaged = torch.tensor(1)  # which every step reads
    with FlopCounterMode(display=False) as counter:
        counter.mod_tracker.__exit__()  # which module counts what; it fails on the penalty's autograd.grad
        training.training_step(torch.empty(BATCH, 3, 4 << scale, 4 << scale, device=device), 0)
    return counter.get_total_flops()
