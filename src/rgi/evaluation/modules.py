"""LightningModules of the methods, which solve batches of test images."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rgi.baselines.base import Baseline
from rgi.data.batch import Batch
from rgi.evaluation.base import TestModule
from rgi.evaluation.fingerprint import code_fingerprint, fingerprint
from rgi.generators.store import GAN
from rgi.inversion.automatic import latent_weight, penalty, penalty_factors, strong_penalty
from rgi.inversion.config import SolverConfig
from rgi.inversion.maps import CleanStatistics
from rgi.inversion.problem import network_precision
from rgi.inversion.solver import invert


class InversionModule(TestModule):
    """All methods of `rgi.invert`.

    Args:
        gan: generator with its critic.
        config: options of the method.
        method: name of the method in the progress bar and the tables.
        results: folder of this method's results.
        map_kind: kind of the scored anomaly map, see `rgi.inversion.result.Inversion.anomaly_map`.
        features: features of a combined map, "critic" or "imagenet".
        sigma: standard deviation of the map's Gaussian smoothing in pixels.
        seed: seed of the latent pool.
    """

    def __init__(
        self,
        gan: GAN,
        config: SolverConfig,
        method: str,
        results: Path,
        map_kind: str | None,
        features: str,
        sigma: float,
        seed: int,
    ) -> None:
        super().__init__(method, results, config.iterations, gan.card.resolution)
        self.gan, self.config = gan, config
        self.map_kind, self.features, self.sigma, self.pool_seed = map_kind, features, sigma, seed
        self.clean: CleanStatistics | None = None  # for kinds of maps with statistics of clean images
        self.painted: dict[str, float] = {}  # pixel AUROC of painted defects of each map of the combined one
        self.networks = nn.ModuleDict(gan.modules())  # so that Lightning moves the networks to the device
        self.optimises_mask = config.mask in ("profiled", "adam")

    def identity(self) -> str:
        """Fingerprint of method, generator, λ, anomaly map, statistics of clean images, and code."""
        config, card = dataclasses.asdict(self.config) | self._automatic(), self.gan.card
        settings = {"map_kind": self.map_kind, "sigma": self.sigma, "pool_seed": self.pool_seed}
        settings["strong_penalty"] = strong_penalty(self.config, self.gan)
        clean: list[Any] = []
        if self.clean is not None:
            clean.append(self.clean.residuals)
            for each in self.clean.features:  # a map is a function; its scores of clean images stand for it
                clean += [f"{each.mean():.5g}", f"{each.std():.5g}"]
            clean += [f"{weight:.5g}" for weight in self.clean.weights]
        return fingerprint(code_fingerprint(), config, card.sha256, card.residual_scale, settings, *clean)

    def resolved(self) -> dict[str, Any]:
        """The options that were ``auto``, the generator's checksum, map, painted scores, and device."""
        kind = self.map_kind or ("mask" if self.optimises_mask else "residual")
        if kind == "combined":
            kind = f"combined with {self.features} features"
        shown = {"generator_sha256": self.gan.card.sha256, "map": _map_name(kind, self.sigma)}
        painted = {"painted_pixel_auroc": self.painted} if self.painted else {}
        return {**self._automatic(), **shown, **painted, **super().resolved()}

    def _automatic(self) -> dict[str, Any]:
        """The options that may be ``auto``, as the solver uses them; λ only with an optimised mask."""
        values: dict[str, Any] = {}
        if self.optimises_mask:
            values["mask_penalty"] = penalty(self.config, self.gan)
            factors = penalty_factors(self.config, self.gan)
            if factors is not None:
                values["mask_penalty_factors"] = {"lowest": factors.min().item(), "highest": factors.max().item()}
        values["latent_weight"] = latent_weight(self.config, self.gan)
        return {**values, "precision": network_precision(self.config, self.device)}

    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """The fields of an `Inversion`, and the paper's anomaly map if the scored map is another one."""
        inversion = invert(
            self.gan,
            batch.observed,
            self.config,
            given_mask=batch.mask,
            seed=self.pool_seed,
            on_step=self.bar.update,
        )
        self.bar.update(int((self.config.iterations - inversion.iterations).sum()))  # skipped steps
        has_other_map = self.map_kind is not None or self.sigma
        return {
            "restored": inversion.restored,
            "mask": inversion.mask,
            "map": inversion.anomaly_map(self.map_kind, self.sigma, self.clean),
            **({"paper_map": inversion.anomaly_map()} if has_other_map else {}),
            "latent": inversion.latent,
            "history": inversion.history.T,
            "objective": inversion.objective,
            "iterations": inversion.iterations,
            "evaluations": inversion.evaluations,
        }


class BaselineModule(TestModule):
    """A fitted baseline.

    Args:
        baseline: fitted baseline.
        method: name of the method in the progress bar and the tables.
        results: folder of this method's results.
        sigma: standard deviation of the map's Gaussian smoothing in pixels.
    """

    def __init__(self, baseline: Baseline, method: str, results: Path, sigma: float) -> None:
        super().__init__(method, results, steps=1, side=baseline.fitted_shape[-1])
        self.baseline, self.sigma = baseline, sigma

    def identity(self) -> str:
        """Fingerprint of the fitted baseline, its options, the smoothing, and code."""
        kinds = (bool, int, float, str, tuple)
        options = {name: value for name, value in vars(self.baseline).items() if isinstance(value, kinds)}
        options |= {"class": type(self.baseline).__name__, "seconds": None}  # the time of the fit decides nothing
        return fingerprint(code_fingerprint(), options, self.baseline, self.sigma)

    def resolved(self) -> dict[str, Any]:
        """The device, and the time of the fit, which is no part of the seconds of an image."""
        return {"map": _map_name(self.method, self.sigma), **super().resolved(), "fit_seconds": self.baseline.seconds}

    def solve(self, batch: Batch) -> dict[str, Tensor]:
        """The anomaly map, and the restored images if the baseline restores images."""
        prediction = self.baseline.predict(batch.observed)
        self.bar.update(len(batch))
        restored = {} if prediction.restored is None else {"restored": prediction.restored}
        score = {} if prediction.image_scores is None else {"score": prediction.image_scores}
        return {**restored, **score, "map": prediction.anomaly_map(self.sigma)}


def _map_name(kind: str, sigma: float) -> str:
    return f"{kind}, sigma {sigma:g}" if sigma else kind
