"""The objective of a batch of images: checked, in the working precision, ready to be evaluated anywhere."""

import torch
from torch import Tensor

from rgi.errors import InputError
from rgi.generators.store import GAN
from rgi.inversion.config import SolverConfig
from rgi.inversion.objective import check_finite, data_loss, mask_loss, penalty_from_threshold, profile_mask
from rgi.inversion.start import draw_pool, nearest_in_pool
from rgi.inversion.weights import SharedWeights

CLEAN_QUANTILE = "0.9"  # `mask_penalty: auto` begins to mask where a tenth of the clean residuals lie
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def penalty(config: SolverConfig, gan: GAN) -> float:
    """λ: the number given, or from the card's residuals on clean images with ``mask_penalty="auto"``.

    Raises:
        InputError: ``auto``, and the card holds no such residuals.
    """
    if config.mask_penalty != "auto":
        return float(config.mask_penalty)
    if CLEAN_QUANTILE not in gan.card.residuals:
        raise InputError(
            "solver.mask_penalty=auto: the generator's card holds no residuals of clean images; measure them with "
            "`python run.py task=calibrate dataset=... generator.path=...`, or give a number"
        )
    return penalty_from_threshold(gan.card.residuals[CLEAN_QUANTILE], config.data_term)


class Problem:
    """The objective of a batch of images, checked and in the working precision."""

    def __init__(self, gan: GAN, observed: Tensor, config: SolverConfig, given_mask: Tensor | None) -> None:
        card = gan.card
        shape = (card.channels, card.resolution, card.resolution)
        if observed.ndim != 4 or tuple(observed.shape[1:]) != shape or not len(observed):
            raise InputError(f"observed: shape {tuple(observed.shape)}, but this generator makes (B, {shape})")
        check_finite("observed", observed)
        self.gan, self.config = gan, config
        self.dtype = torch.float64 if config.precision == "float64" else torch.float32
        self.observed = observed.to(gan.device, self.dtype)
        self.penalty = penalty(config, gan) if config.mask in ("profiled", "adam") else 0.0
        self.shared = SharedWeights(gan.generator, DTYPES[config.precision])
        self.critic = self._frozen_critic() if config.critic_weight else None
        self.given_mask = self._given_mask(given_mask) if config.mask == "given" else None

    def _frozen_critic(self) -> SharedWeights:
        if self.gan.critic is None:
            raise InputError("solver.critic_weight: this generator comes without a critic; use critic_weight=0")
        return SharedWeights(self.gan.critic, DTYPES[self.config.precision])

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

    def start(self, latent_start: Tensor | None, pool: Tensor | None, seed: int) -> Tensor:
        """z at step 0, (B,d)."""
        config, latent_dim = self.config, self.gan.card.latent_dim
        if config.latent_start == "given":
            if latent_start is None:
                raise InputError("latent_start: required with latent_start='given'")
            return self._codes("latent_start", latent_start, len(self.observed))
        if config.latent_start == "encoder":
            if self.gan.encoder is None:
                raise InputError("solver.latent_start=encoder: this generator comes without an encoder; use pool")
            encoder = SharedWeights(self.gan.encoder, DTYPES[config.precision])
            with torch.no_grad():
                return encoder(self.observed)
        if pool is None:
            pool = draw_pool(config.pool_size, latent_dim, config.pool_distribution, seed)
        codes = self._codes("pool", pool, len(pool))
        return nearest_in_pool(self.gan, self.shared, codes, self.observed)

    def _codes(self, name: str, codes: Tensor, count: int) -> Tensor:
        wanted = (count, self.gan.card.latent_dim)
        if tuple(codes.shape) != wanted or not count:
            raise InputError(f"{name}: shape {tuple(codes.shape)}, expected {wanted}")
        check_finite(name, codes)
        return codes.detach().to(self.observed)

    def keep(self, rows: Tensor) -> None:
        """Go on with these images only."""
        self.observed = self.observed[rows]
        if self.given_mask is not None:
            self.given_mask = self.given_mask[rows]

    def evaluate(self, image: Tensor, learned: Tensor | None) -> tuple[Tensor, Tensor]:
        """Objective (B,) and mask (B,C,H,W) at images G_θ(z); ``learned`` is M where Adam learns it."""
        config = self.config
        residual = self.observed - image
        if config.mask == "profiled":
            # By the envelope theorem no gradient flows through the minimising mask.
            mask = profile_mask(residual.detach(), self.penalty, config.data_term, config.mask_shape)
        elif config.mask == "adam":
            mask = learned.expand_as(residual)
        elif config.mask == "given":
            mask = self.given_mask
        else:
            mask = torch.zeros_like(residual)
        objective = data_loss(residual, mask, config.data_term)
        if self.penalty:
            objective = objective + mask_loss(mask, self.penalty)
        if self.critic:
            objective = objective - config.critic_weight * self.critic(image)
        return objective, mask
