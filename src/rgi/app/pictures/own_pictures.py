"""What the tasks predict and calibrate have in common with ``input=...``: pictures, generator and method, checked."""

import dataclasses
import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from rgi.app.options import find_generator, make, path_option, solver_config
from rgi.data.cache import file_hash
from rgi.data.listing import expanded
from rgi.data.pictures import FITS, Fit, find_pictures, is_square
from rgi.data.region import check_region
from rgi.errors import InputError
from rgi.evaluation.calibration import Calibration, calibration_file, load_calibration
from rgi.evaluation.clean_residuals import LEVELS, CleanResiduals
from rgi.generators import places, store
from rgi.generators.store import GAN, Card
from rgi.inversion.config import SolverConfig
from rgi.inversion.problem import Problem
from rgi.validation import check, one_of, typed

log = logging.getLogger(__name__)
AUTO = "auto"


@dataclass(frozen=True)
class Plan:
    """Pictures, generator and method of a run.

    Attributes:
        files: pictures by name.
        gan: generator.
        config: method.
        fit: how a picture is brought to the size of the generator.
        calibration: measurements on clean pictures with this generator; None if there are none.
        file: file of the calibration, which may not exist.
        remedy: what to do for a calibration.
    """

    files: dict[str, Path]
    gan: GAN
    config: SolverConfig
    fit: Fit
    calibration: Calibration | None
    file: Path
    remedy: str

    def settings(self, cfg: DictConfig) -> dict[str, Any]:
        """All options that decide the scores of pictures, by name."""
        combined = cfg.map.kind == "combined"
        return {
            "fit": self.fit.kind,
            "dataset.roi": cfg.get("roi"),
            "map.kind": cfg.map.kind,
            "map.features": cfg.map.features if combined else None,
            "map.sigma": cfg.map.sigma,
            "seed": cfg.seed,
            **{f"solver.{name}": value for name, value in dataclasses.asdict(self.config).items()},
        }

    def options(self, cfg: DictConfig) -> dict[str, Any]:
        """Arguments of `rgi.evaluation.modules.InversionModule`, except the folder of the results."""
        chosen = {"map_kind": cfg.map.kind, "features": cfg.map.features, "sigma": cfg.map.sigma, "seed": cfg.seed}
        return {"gan": self.gan, "config": self.config, "method": "pictures", **chosen}

    def check_method(self, cfg: DictConfig) -> None:
        """Raise an error that `rgi.invert` would raise."""
        card = self.gan.card
        image = torch.zeros(1, card.channels, card.resolution, card.resolution)
        Problem(self.gan, image, self.config, None).starts(None, torch.zeros(1, card.latent_dim), cfg.seed)


def make_plan(cfg: DictConfig) -> Plan:
    """Pictures, generator and method, after checks of all options.

    The options of the dataset leave the configuration, except ``dataset.roi``, because they decide nothing.

    Raises:
        InputError: an option is wrong, there are no pictures, or the generator is missing.
    """
    check("fit", cfg.fit, one_of(AUTO, *FITS))
    for group in ("baseline", "corruption"):
        if OmegaConf.select(cfg, group) is not None:
            raise InputError(
                f"{group}: not possible with input=...; remove it, or name the images with dataset.root=..."
            )
    config = solver_config(cfg.solver, "", cfg.task)
    if config.mask == "given":
        raise InputError("solver.mask=given: the pictures of input=... have no true masks; choose another solver")
    files, base = find_pictures(str(cfg.input))
    _check_output(cfg, base)
    path = path_option(cfg, "generator.path")
    source = find_generator(cfg)
    if source is None:
        known = ", ".join(sorted(file.stem for file in places.SHIPPED.glob("*.safetensors")))
        raise InputError(f"generator.path={path}: no such file; name a trained generator, or one of {known}")
    gan = store.load_gan(source)
    OmegaConf.update(cfg, "generator.path", str(path))
    roi = _take_region(cfg)
    file = calibration_file(places.own_file(source))
    calibration = load_calibration(file) if cfg.task == "predict" and file.is_file() else None
    kind = cfg.fit
    if kind == AUTO:
        kind = fit_of(gan.card) if calibration is None else calibration.settings.get("fit")
    fit = Fit(kind, gan.card.channels, gan.card.resolution, gan.card.patch or gan.card.resolution, roi)
    if cfg.fit == AUTO and calibration is None:
        _tell_aspect(files, kind)
    cfg.fit = kind
    command = f"rgi task=calibrate input=FOLDER_OF_CLEAN_PICTURES {shlex.quote(f'generator.path={path}')}"
    return Plan(files, gan, config, fit, calibration, file, f"calibrate with: {command}")


def _take_region(cfg: DictConfig) -> Path | None:
    """The region of interest, checked. Of the dataset's options, it alone stays in the configuration, with its hash."""
    given = OmegaConf.select(cfg, "dataset.roi")
    OmegaConf.update(cfg, "dataset", None)
    if given is None:
        return None
    roi = expanded(str(given))
    check_region(roi)
    OmegaConf.update(cfg, "roi", f"{given} {file_hash(roi)[:8]}", force_add=True)
    return roi


def fit_of(card: Card) -> str:
    """How pictures are brought to a generator's size, as the pictures of its training were."""
    if card.patch:
        return "tiles"
    return "squash" if card.dataset == "folder" else "whole"


def _tell_aspect(files: dict[str, Path], kind: str) -> None:
    """Say what happens to pictures that are not square, and what else is possible."""
    notes = {
        "whole": "its aspect is kept; a training on whole pictures squashes them, and fit=squash does the same",
        "squash": "it is squashed, as in the training of this generator; fit=whole keeps the aspect",
    }
    first = next((path for path in files.values() if not is_square(path)), None) if kind in notes else None
    if first is not None:
        log.warning("%s: is not square, and perhaps others: %s", first, notes[kind])


def with_residuals(plan: Plan, residuals: CleanResiduals) -> Plan:
    """The plan with these residuals of clean images for λ; the generator's file stays as it is."""
    plan.gan.card = dataclasses.replace(plan.gan.card, **residuals._asdict())
    return plan


def any_residuals() -> CleanResiduals:
    """Residuals for checks of options before the real ones are measured."""
    return CleanResiduals(dict.fromkeys(map(str, LEVELS), 1.0), [])


def make_trainer(cfg: DictConfig) -> Trainer:
    """The trainer that runs inversions: they need gradients, which Lightning's inference mode would disable."""
    return make(cfg, "trainer", logger=False, enable_progress_bar=False, inference_mode=False)


def _check_output(cfg: DictConfig, base: Path) -> None:
    """Raise an error if the results would be among the next run's pictures."""
    output = Path(cfg.output_dir or "outputs")
    everything = Path(str(cfg.input)).is_dir() or "**" in str(cfg.input)
    if everything and output.resolve().is_relative_to(base.resolve()):
        raise InputError(
            f"input={typed(cfg.input)}: contains the folder of the results ({output}), which would be pictures of the "
            "next run; set output_dir to a folder elsewhere, or move the pictures to a folder of their own"
        )
