"""The objective of a batch of images: checks of the arguments, starts of z, evaluation."""

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rgi.errors import InputError
from rgi.generators.store import GAN
from rgi.inversion.automatic import latent_weight, penalty, penalty_factors, strong_penalty
from rgi.inversion.config import SolverConfig
from rgi.inversion.objective import (
    check_finite,
    close_mask,
    data_loss,
    mask_loss,
    masked_around,
    profile_mask,
)
from rgi.inversion.start import draw_pool, nearest_members, pool_images
from rgi.inversion.weights import SharedWeights, native_bfloat16

FAR = 2.0  # median absolute value: corrupted images may leave [-1, 1], but not most of their pixels
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
SHORTLIST = 8  # nearest members of the pool per start whose objective is evaluated


def network_precision(config: SolverConfig, device: torch.device) -> str:
    """Precision of the networks on a device: ``auto`` is ``bfloat16`` or ``float32``."""
    if config.precision != "auto":
        return config.precision
    return "bfloat16" if native_bfloat16(device) else "float32"


class Problem:
    """The objective of a batch of images.

    Args:
        gan: GAN, which stays unchanged.
        observed: images (B,C,H,W).
        config: method.
        given_mask: mask (B,1,H,W) or (B,C,H,W) in [0,1], 1 = ignore; required with ``mask="given"``, else unused.

    Attributes:
        observed: images in full precision on the device of the GAN.
        dtype: full precision, the type of the objective, the optimised variables and the results.
        penalty: λ, a number or (1,1,H,W); None without an optimised mask.
        latent_weight: weight of |z|².
        strong_penalty: λ whose mask has the strong residuals; None if θ learns from all that is not masked.
        held_mask: pixels that θ does not learn from, (B,1,H,W) in {0,1}; None before `hold`.
        network: generator with shared weights in the precision of the networks.
        full_precision_network: the same generator in full precision.

    Raises:
        InputError: an argument is missing, has the wrong shape, or does not fit the GAN.
        ValueError: ``observed`` or ``given_mask`` has NaN or infinite values.
    """

    def __init__(self, gan: GAN, observed: Tensor, config: SolverConfig, given_mask: Tensor | None) -> None:
        card = gan.card
        shape = (card.channels, card.resolution, card.resolution)
        if observed.ndim != 4 or tuple(observed.shape[1:]) != shape or not len(observed):
            raise InputError(f"observed: shape {tuple(observed.shape)}, but this generator makes (B, {shape})")
        if not observed.is_floating_point():
            raise InputError(
                f"observed: type {observed.dtype}; pass floats with clean images in [-1, 1], such as pixels / 127.5 - 1"
            )
        check_finite("observed", observed)
        if observed.abs().median() > FAR:
            warnings.warn(
                f"observed: values from {observed.min():g} to {observed.max():g}, but the generator makes images in "
                "[-1, 1]; scale the images, such as pixels / 127.5 - 1",
                stacklevel=3,
            )
        if config.precision == "float64" and gan.device.type == "mps":
            raise InputError("solver.precision=float64: Apple's GPU has no float64; add trainer.accelerator=cpu")
        self.gan, self.config = gan, config
        self.dtype = torch.float64 if config.precision == "float64" else torch.float32
        self.observed = observed.to(gan.device, self.dtype)
        self.penalty = self._by_position(penalty(config, gan) if config.mask in ("profiled", "adam") else None)
        self.strong_penalty = self._by_position(strong_penalty(config, gan))
        self.latent_weight = latent_weight(config, gan)
        self.full_precision_network = SharedWeights(gan.generator, self.dtype)
        self.network = self._network(gan.generator)
        self.critic = self._frozen_critic() if config.critic_weight else None
        self.given_mask = self._given_mask(given_mask) if config.mask == "given" else None
        self.held_mask: Tensor | None = None

    def _by_position(self, level: float | None) -> float | Tensor | None:
        """λ at all positions, where it differs, from λ at a position with scale 1."""
        factors = None if level is None else penalty_factors(self.config, self.gan)
        return level if factors is None else (level * factors).to(self.dtype).to(self.gan.device)

    def _network(self, module: nn.Module) -> SharedWeights:
        """A network of the GAN in the precision of the configuration."""
        return SharedWeights(module, DTYPES[network_precision(self.config, self.gan.device)], self.config.compile)

    def _frozen_critic(self) -> SharedWeights:
        if self.gan.critic is None:
            raise InputError("solver.critic_weight: this generator comes without a critic; use critic_weight=0")
        return self._network(self.gan.critic)

    def _given_mask(self, mask: Tensor | None) -> Tensor:
        if mask is None:
            raise InputError("given_mask: required with mask='given'")
        count, channels, *size = self.observed.shape
        if tuple(mask.shape) not in ((count, 1, *size), (count, channels, *size)):
            raise InputError(f"given_mask: shape {tuple(mask.shape)} does not fit {tuple(self.observed.shape)}")
        check_finite("given_mask", mask)
        if mask.min() < 0 or mask.max() > 1:
            raise InputError("given_mask: values must lie in [0, 1], 1 = ignore")
        return mask.to(self.observed).expand_as(self.observed)

    def starts(self, latent_start: Tensor | None, pool: Tensor | None, seed: int) -> Callable[[Tensor], Tensor]:
        """A function that chooses the starts of z. This method checks the arguments before any work is done.

        Args:
            latent_start: latent codes (B,d); required with ``latent_start="given"``, else unused.
            pool: latent codes (N,d); None means random codes.
            seed: seed of the random codes.

        Returns:
            Function from positions (b,) in the batch to starts (b,k,d), k starts per image.

        Raises:
            InputError: an argument is missing or has the wrong shape, or the GAN has no encoder.
            ValueError: ``latent_start`` or ``pool`` has NaN or infinite values.
        """
        config, start, encoder = self.config, self.config.latent_start, self.gan.encoder
        if start == "given":
            if latent_start is None:
                raise InputError("latent_start: required with latent_start='given'")
            given = self._codes("latent_start", latent_start, len(self.observed))
            return lambda rows: given[rows, None]
        if start == "encoder" and encoder is None:
            raise InputError(
                "solver.latent_start=encoder: this generator comes without an encoder; use pool, or train an encoder "
                "with `python run.py task=encode generator.path=...`"
            )
        least_squares = getattr(self.gan.generator, "guess", None)  # of linear generators
        known = encoder is not None or least_squares is not None
        guess = start == "encoder" or (start == "auto" and known and pool is None)
        drawn = 0 if start == "encoder" else (config.starts if config.accelerated else 1) - guess
        network = self._network(encoder) if guess and encoder is not None else least_squares
        if drawn:
            if pool is None:
                pool = draw_pool(config.pool_size, self.gan.card.latent_dim, config.pool_distribution, seed)
            codes = self._codes("pool", pool, len(pool))

        @torch.no_grad()
        def choose(rows: Tensor) -> Tensor:
            guessed = [network(self.observed[rows])[:, None]] if guess else []
            return torch.cat([*guessed, *([self._from_pool(codes, rows, drawn)] if drawn else [])], 1)

        return choose

    def _from_pool(self, codes: Tensor, rows: Tensor, count: int) -> Tensor:
        """The best members of the pool for each image, (b,count,d).

        The paper uses the nearest member by Euclidean distance over all pixels. A hole distorts this distance. Other
        methods therefore use the members with the lowest objective among the nearest, because the objective masks the
        hole.
        """
        images, observed = pool_images(self.gan, self.network, codes), self.observed[rows]
        if not self.config.accelerated:
            return codes[nearest_members(images, observed, 1)]
        near = nearest_members(images, observed, SHORTLIST * count)
        part = self.select(rows)
        objective = torch.stack(
            [part.evaluate(images[column].view_as(observed), codes[column])[0] for column in near.T], 1
        )
        best = objective.argsort(dim=1, stable=True)[:, :count]
        return codes[near.gather(1, best)]

    def _codes(self, name: str, codes: Tensor, count: int) -> Tensor:
        wanted = (count, self.gan.card.latent_dim)
        if tuple(codes.shape) != wanted or not count:
            raise InputError(f"{name}: shape {tuple(codes.shape)}, expected {wanted}")
        check_finite(name, codes)
        return codes.detach().to(self.observed)

    def select(self, rows: Tensor) -> "Problem":
        """The same problem for some of the images.

        Args:
            rows: positions (b,) in the batch, repeated or not; or a boolean mask (B,).
        """
        part = copy.copy(self)
        part.observed = self.observed[rows]
        part.given_mask = None if self.given_mask is None else self.given_mask[rows]
        part.held_mask = None if self.held_mask is None else self.held_mask[rows]
        return part

    def hold(self, image: Tensor) -> None:
        """Set `held_mask`, see `SolverConfig.mask_hold`.

        Args:
            image: G(z), (B,C,H,W).
        """
        config = self.config
        mask = profile_mask(self.observed - image, self.strong_penalty, config.data_term, config.mask_shape)
        self.held_mask = (masked_around(mask) > config.mask_hold).to(mask.dtype)

    def evaluate(
        self, image: Tensor, latent: Tensor, learned: Tensor | None = None, factor: float = 1.0, held: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Objective and mask at restored images.

        Args:
            image: G_θ(z), (B,C,H,W).
            latent: z, (B,d).
            learned: M that Adam optimises, (B,C,H,W) or (B,1,H,W); None for all other masks.
            factor: factor on λ.
            held: whether M is 1 in `held_mask`.

        Returns:
            Objective (B,) and mask (B,C,H,W).
        """
        residual = self.observed - image
        penalty = None if self.penalty is None else self.penalty * factor
        mask = self._mask(residual, learned, penalty)
        if held:
            mask = torch.maximum(mask, self.held_mask)
        objective = data_loss(residual, mask, self.config.data_term)
        if penalty is not None:
            objective = objective + mask_loss(mask, penalty)
        if self.critic:
            objective = objective - self.config.critic_weight * self.critic(image)
        if self.latent_weight:
            objective = objective + self.latent_weight * latent.square().sum(1)
        return objective, mask

    def _mask(self, residual: Tensor, learned: Tensor | None, penalty: float | Tensor | None) -> Tensor:
        config = self.config
        if config.mask == "given":
            return self.given_mask
        if config.mask == "none":
            return torch.zeros_like(residual)
        if learned is not None:
            return learned.expand_as(residual)
        # Envelope theorem: the gradient of the minimum does not need the derivative of the mask.
        mask = profile_mask(residual.detach(), penalty, config.data_term, config.mask_shape)
        return mask if config.mask_closing is None else close_mask(mask, config.mask_closing)
