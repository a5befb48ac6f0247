"""What a method is: which of z, M and θ are free, in which objective, and how they are optimised."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from rgi.errors import InputError
from rgi.validation import Betas, Count, Index, NotNegative, Positive, Share, Switch, checked, integer, number


@checked("solver")
@dataclass(frozen=True)
class SolverConfig:
    """Switches and constants of `rgi.invert`; the default is mask-free RGI, as in conf/solver/rgi.yaml.

    The default numbers are the result of experiments/optimiser.

    A field that the chosen mask or method does not use is ignored. Steps count from 0. The residual is r = x - G(z).

    With ``schedule="constant"`` or ``mask="adam"`` z moves as in the paper: in its own coordinates, from the nearest
    member of the pool. `latent_basis` and `starts` are ignored then, and R-RGI moves all weights of a linear generator,
    else its mean alone (see `rgi.generators.pca.Tuned`).

    Raises:
        InputError: an unknown field, a value of the wrong type, an unknown word, a number out of range, or a generator
            that would never be tuned.
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
    mask_hold: Share | None = None
    """With ``profiled`` and R-RGI, θ does not learn from pixels where more than this share of the 5x5 pixels around has
    strong residuals in the step `tune_from`; None: θ learns from all that is not masked. With ``mask_penalty="auto"``
    residuals above the `hold_quantile` are strong, else those that λ masks."""
    hold_quantile: Share = 0.99
    """The quantile of the residuals on clean images above which `mask_hold` takes residuals as strong; one of those on
    the GAN's card."""
    mask_penalty: Positive | Literal["auto"] = 0.1
    """λ; with ``auto`` masking begins at the `clean_quantile` of the residuals on clean images, times the scale at this
    position if the GAN's card has one."""
    clean_quantile: Share = 0.9
    """The quantile that ``mask_penalty="auto"`` takes; one of those on the GAN's card."""
    mask_init: Literal["zeros", "ones"] = "zeros"
    """Where ``adam`` starts M."""
    freeze_mask_from: Index | None = None
    """The step from which ``adam`` keeps M fixed, while Adam's moments still advance; None: never."""
    tune_generator: Switch = False
    """R-RGI: θ moves too, in a separate copy for each image."""
    tune_from: Index = 0
    """The first step in which θ moves."""
    warm_moments: Switch = True
    """Adam's moments of θ run from step 0 as in the paper; False: from `tune_from`, which saves gradients before."""
    critic_weight: NotNegative = 0.0
    """The weight of the term -D(G(z)); at 0 the critic is never run."""
    latent_weight: NotNegative | Literal["auto", "defects"] = 0.0
    """The weight of the term |z|², which keeps z where the codes of clean images are (Bora et al., ICML 2017); with
    ``auto`` the weight follows from the residuals on clean images, see `rgi.inversion.automatic.latent_weight`; with
    ``defects`` it is that weight times the factor on the GAN's card with which painted defects show best."""
    lr_latent: Positive = 0.3
    """Adam's rate for z, before the schedule."""
    lr_mask: Positive = 0.1
    """Adam's rate for M, before the schedule."""
    lr_generator: Positive = 1e-5
    """Adam's rate for θ, before the schedule."""
    eps_generator: Positive = 1e-8
    """Adam's ε for θ. With the paper's 1e-8 Adam moves all weights equally far, also those that act on masked pixels
    alone; with a larger ε a weight stays whose gradient is far smaller."""
    betas: Betas = (0.8, 0.95)
    """β₁ and β₂ of every Adam."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """All rates fall to 0 as a ``cosine`` over the run, or stay ``constant`` as in the paper."""
    warmup: integer(0) = 5
    """The number of steps over which the rates rise linearly to their values."""
    iterations: Count = 100
    """The number of steps."""
    tolerance: NotNegative | None = 3e-3
    """An image leaves the batch when its objective fell by less than this fraction in 10 steps, once the schedule has
    fallen to a quarter; None: never."""
    continuation: number(1) = 1.0
    """The λ of ``profiled`` begins this many times larger, and falls geometrically until the middle of the run."""
    latent_basis: Literal["metric", "standard"] = "metric"
    """Adam moves z along the eigenvectors of the generator's mean ``metric``, or along the ``standard`` axes."""
    latent_start: Literal["pool", "encoder", "given", "auto"] = "auto"
    """z starts from a ``pool``, at the ``encoder``'s guess, as ``given``, or from guess and pool (``auto``)."""
    pool_size: Count = 1000
    """The number of latent codes in the pool."""
    pool_distribution: Literal["normal", "uniform"] = "normal"
    """The pool is drawn from N(0,1), or as in the paper from U(0,1)."""
    starts: Count = 8
    """The number of starts that are tried for each image; those with the lowest objectives continue."""
    trial_steps: Count = 24
    """The number of steps until only one of the `starts` is left, see `starts_in`; they are part of `iterations`."""
    precision: Literal["float32", "bfloat16", "float64", "auto"] = "auto"
    """The precision of the networks; ``auto`` is ``bfloat16`` where the device multiplies it natively."""
    compile: Switch = False
    """`torch.compile` fuses the network's kernels, and a GPU replays them as CUDA graphs."""

    def __post_init__(self) -> None:
        if self.tune_generator and self.tune_from >= self.iterations:
            raise InputError(
                f"solver.tune_from={self.tune_from}: must be below solver.iterations={self.iterations}, or the "
                "generator is never tuned; lower tune_from, or set solver.tune_generator=false"
            )

    @property
    def accelerated(self) -> bool:
        """Whether `latent_basis` and `starts` are used; else z moves as in the paper."""
        return self.schedule != "constant" and self.mask != "adam"

    def holds_mask(self, step: int) -> bool:
        """Whether θ leaves out the strong residuals of this step from now on, see `mask_hold`."""
        held = self.mask == "profiled" and self.tune_generator and self.mask_hold is not None
        return held and step == self.tune_from

    def penalty_factor(self, step: int) -> float:
        """What λ is multiplied with in a step."""
        if self.mask != "profiled":
            return 1.0
        return self.continuation ** max(0.0, 1 - 2 * step / self.iterations)

    def starts_in(self, step: int) -> int:
        """The number of starts per image in a step: the better half stays after each of equal parts of `trial_steps`.

        This is successive halving (Jamieson and Talwalkar, AISTATS 2016).
        """
        halvings = (self.starts - 1).bit_length()
        done = min(halvings, step * halvings // self.trial_steps)
        return math.ceil(self.starts / 2**done)

    def rate(self, step: int) -> float:
        """The schedule's factor on every learning rate in a step."""
        factor = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * step / self.iterations))
        return factor

    def replace(self, **changes: Any) -> "SolverConfig":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)
