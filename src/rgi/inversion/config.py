"""What a method is: which of z, M and θ are free, in which objective, and how they are optimised."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from rgi.validation import Betas, Count, Index, NotNegative, Positive, Share, Switch, checked, number, whole


@checked("solver")
@dataclass(frozen=True)
class SolverConfig:
    """Switches and constants of `rgi.invert`; the default is mask-free RGI for any GAN.

    A field that the chosen mask or method does not use is ignored. Steps count from 0. The residual is r = x - G(z).

    With ``schedule="constant"`` or ``mask="adam"`` z moves as in the paper: in its own coordinates, from the nearest
    member of the pool. `latent_basis` and `starts` are ignored then.

    Raises:
        InputError: an unknown field, a value of the wrong type, an unknown word, or a number out of range.
    """

    data_term: Literal["l2", "l1"] = "l2"
    """The first term of the objective: ``l2`` is the sum of ((1-M) r)², ``l1`` that of abs((1-M) r)."""
    mask: Literal["profiled", "adam", "given", "none"] = "profiled"
    """``profiled``: M minimises each step's objective in closed form; ``adam``: M is learned as in the paper;
    ``given``: M is the caller's; ``none``: M = 0."""
    mask_shape: Literal["channel", "pixel"] = "channel"
    """M has a value for each ``channel`` of a pixel, or for each ``pixel``."""
    mask_closing: Share | None = None
    """With ``profiled``, M is 1 where more than this share of the 5x5 pixels around is masked; None: never."""
    mask_penalty: Positive | Literal["auto"] = 0.1
    """λ; with ``auto`` masking begins at the `clean_quantile` of the residuals on clean images."""
    clean_quantile: Share = 0.9
    """The quantile that an automatic `mask_penalty` takes; the GAN's card holds a few."""
    mask_init: Literal["zeros", "ones"] = "zeros"
    """Where ``adam`` starts M."""
    freeze_mask_from: Index | None = None
    """The step from which ``adam`` leaves M as it is, while its moments still advance; None: never."""
    tune_generator: Switch = False
    """θ moves too (R-RGI), in a copy of its own for every image."""
    tune_from: Index = 0
    """The first step in which θ moves."""
    warm_moments: Switch = True
    """Adam's moments of θ run from step 0 as in the paper; False: from `tune_from`, which saves gradients before."""
    critic_weight: NotNegative = 0.0
    """The weight of the term -D(G(z)); at 0 the critic is never run."""
    lr_latent: Positive = 0.1
    """Adam's rate for z, before the schedule."""
    lr_mask: Positive = 0.1
    """Adam's rate for M, before the schedule."""
    lr_generator: Positive = 1e-5
    """Adam's rate for θ, before the schedule."""
    betas: Betas = (0.9, 0.999)
    """β₁ and β₂ of every Adam."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """All rates fall to 0 as a ``cosine`` over the run, or stay ``constant`` as in the paper."""
    warmup: whole(0) = 5
    """The first steps, over which the rates rise linearly to their value."""
    iterations: Count = 250
    """The steps of the run."""
    tolerance: NotNegative | None = None
    """An image leaves when its objective fell by less than this fraction in 10 steps, and the schedule to a quarter;
    None: never."""
    continuation: number(1) = 1.0
    """λ of ``profiled`` begins so many times larger and falls geometrically until the middle of the run."""
    latent_basis: Literal["metric", "standard"] = "metric"
    """Adam moves z along the eigenvectors of the generator's mean ``metric``, or along the ``standard`` axes."""
    latent_start: Literal["pool", "encoder", "given", "auto"] = "pool"
    """z starts from a ``pool``, at the ``encoder``'s guess, as ``given``, or from guess and pool (``auto``)."""
    pool_size: Count = 1000
    """So many latent codes are drawn for the pool."""
    pool_distribution: Literal["normal", "uniform"] = "normal"
    """The pool is drawn from N(0,1), or as in the paper from U(0,1)."""
    starts: Count = 4
    """So many starts are tried, and the one with the lowest objective goes on."""
    trial_steps: Count = 20
    """The first steps of the run, in which all `starts` are tried."""
    precision: Literal["float32", "bfloat16", "float64", "auto"] = "float32"
    """The precision of the networks; ``auto`` is ``bfloat16`` where the device multiplies it natively."""
    compile: Switch = False
    """`torch.compile` fuses the network's kernels, and a GPU replays them as CUDA graphs."""

    @property
    def ours(self) -> bool:
        """Whether z is optimised our way, in the metric's basis and from several starts, or as the paper does."""
        return self.schedule != "constant" and self.mask != "adam"

    def penalty_factor(self, step: int) -> float:
        """What λ is multiplied with in a step."""
        if self.mask != "profiled":
            return 1.0
        return self.continuation ** max(0.0, 1 - 2 * step / self.iterations)

    def rate(self, step: int) -> float:
        """The schedule's factor on every learning rate in a step."""
        factor = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * step / self.iterations))
        return factor

    def replace(self, **changes: Any) -> "SolverConfig":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)
