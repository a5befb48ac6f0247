"""What a method is: which of z, M and θ are free, in which objective, and how they are optimised."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from rgi.errors import InputError

WORDS = {
    "data_term": ("l2", "l1"),
    "mask": ("profiled", "adam", "given", "none"),
    "mask_shape": ("channel", "pixel"),
    "mask_init": ("zeros", "ones"),
    "schedule": ("constant", "cosine"),
    "latent_start": ("pool", "encoder", "given", "auto"),
    "pool_distribution": ("normal", "uniform"),
    "latent_basis": ("metric", "standard"),
    "precision": ("float32", "bfloat16", "float64", "auto"),
}


@dataclass(frozen=True)
class SolverConfig:
    """Switches and constants of `rgi.invert`; the default is mask-free RGI for any GAN.

    A field that the chosen mask or method does not use is ignored. Steps count from 0.

    Attributes:
        data_term: ``l2``, sum of ((1-M) r)², or ``l1``, sum of abs((1-M) r), with r = x - G(z).
        mask: ``profiled``, M minimised in closed form at every step; ``adam``, learned as in the paper; ``given``;
            ``none``, M = 0.
        mask_shape: one mask value per ``channel`` of a pixel, or per ``pixel``.
        mask_closing: a pixel is masked whatever its own residual if more than this share of the 5x5 pixels around it
            are, with ``profiled``; None: it never is. See `rgi.inversion.objective.close_mask`.
        mask_penalty: λ > 0, or ``auto``: masking begins at the `clean_quantile` of the residuals on clean images.
        clean_quantile: one of those that the GAN's card holds.
        mask_init: where ``adam`` starts M.
        freeze_mask_from: step from which ``adam`` leaves M as it is, moments still advancing; None never.
        tune_generator: R-RGI, θ moves too, in a copy of its own for every image.
        tune_from: first step in which θ moves.
        warm_moments: θ's gradients, Adam moments and step counter run from step 0 (the paper), or start with
            ``tune_from``, which saves the gradients before.
        critic_weight: weight of -D(G(z)); at 0 the critic is never run.
        lr_latent, lr_mask, lr_generator: Adam's rates, before the schedule.
        betas: of every Adam.
        schedule: of all rates: ``cosine`` to 0 over the run, or ``constant`` (the paper). With ``constant``, or a mask
            learned by ``adam``, z moves as in the paper, in its own coordinates from the one nearest member of the
            pool: `latent_basis` and `starts` are ignored.
        warmup: steps over which the rates rise linearly to their value.
        iterations: steps of the run.
        tolerance: an image leaves when its objective fell by less than this fraction in 10 steps, and the schedule to a
            quarter of its rate; None never.
        continuation: the ``profiled`` mask's λ begins this many times larger (1: does not) and falls geometrically to
            its value in the middle of the run; what lies far outside the mask's threshold still pulls then.
        latent_basis: in which coordinates Adam moves z: the eigenvectors of the generator's mean ``metric``, see
            `rgi.inversion.basis`, or the ``standard`` ones.
        latent_start: the nearest members of a ``pool``, the ``encoder``'s guess, or the tensor ``given``; with ``auto``
            the encoder's guess is one of the `starts` if the GAN has an encoder and no pool is handed in.
        pool_size, pool_distribution: how many latent codes are drawn, from N(0,1) or (the paper) U(0,1).
        starts: so many are tried, and the one with the lowest objective goes on after `trial_steps`, which are the
            first of the `iterations`; one where the encoder or the caller says where to start.
        precision: of the networks; objective and optimiser state are float32, or float64 with ``float64``, and the
            result is evaluated in that precision. ``auto`` is ``bfloat16`` where the device multiplies it natively,
            see `rgi.inversion.weights.native_bfloat16`, else ``float32``.
        compile: the network's kernels are fused by `torch.compile`, and replayed as CUDA graphs on a GPU.

    Raises:
        InputError: a value of the wrong type, an unknown word, or a number out of range.
    """

    data_term: str = "l2"
    mask: str = "profiled"
    mask_shape: str = "channel"
    mask_closing: float | None = None
    mask_penalty: float | str = 0.1
    clean_quantile: float = 0.9
    mask_init: str = "zeros"
    freeze_mask_from: int | None = None
    tune_generator: bool = False
    tune_from: int = 0
    warm_moments: bool = True
    critic_weight: float = 0.0
    lr_latent: float = 0.1
    lr_mask: float = 0.1
    lr_generator: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: str = "cosine"
    warmup: int = 5
    iterations: int = 250
    tolerance: float | None = None
    continuation: float = 1.0
    latent_basis: str = "metric"
    latent_start: str = "pool"
    pool_size: int = 1000
    pool_distribution: str = "normal"
    starts: int = 4
    trial_steps: int = 20
    precision: str = "float32"
    compile: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", _pair(self.betas))
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise _wrong(name, getattr(self, name), f"one of {', '.join(words)}")
        for name in ("tune_generator", "warm_moments", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "true or false")
        if self.mask_penalty != "auto":
            self._number("mask_penalty", exclusive=True, hint=", or auto")
        for name in ("lr_latent", "lr_mask", "lr_generator"):
            self._number(name, exclusive=True)
        self._number("critic_weight")
        self._share("clean_quantile")
        if self.mask_closing is not None:
            self._share("mask_closing", hint=", or null")
        if self.tolerance is not None:
            self._number("tolerance", hint=", or null")
        self._number("continuation")
        if self.continuation < 1:
            raise _wrong("continuation", self.continuation, "a number of at least 1")
        for name in ("iterations", "pool_size", "starts", "trial_steps"):
            self._steps(name, 1)
        self._steps("tune_from", 0)
        self._steps("warmup", 0)
        if self.freeze_mask_from is not None:
            self._steps("freeze_mask_from", 0, hint=", or null")

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

    def _number(self, name: str, exclusive: bool = False, hint: str = "") -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0 or (exclusive and value == 0):
            raise _wrong(name, value, f"a number {'above' if exclusive else 'of at least'} 0{hint}")

    def _share(self, name: str, hint: str = "") -> None:
        self._number(name, hint=hint)
        if getattr(self, name) >= 1:
            raise _wrong(name, getattr(self, name), f"a share of at least 0 and below 1{hint}")

    def _steps(self, name: str, least: int, hint: str = "") -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _wrong(name, value, f"a whole number of at least {least}{hint}")


def _pair(betas: Any) -> tuple[float, float]:
    try:
        first, second = (float(beta) for beta in betas)
    except (TypeError, ValueError):
        raise _wrong("betas", betas, "two numbers in [0, 1)") from None
    if not (0 <= first < 1 and 0 <= second < 1):
        raise _wrong("betas", betas, "two numbers in [0, 1)")
    return first, second


def _wrong(name: str, value: Any, wanted: str) -> InputError:
    return InputError(f"solver.{name}={value}: must be {wanted}")
