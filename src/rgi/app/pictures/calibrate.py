"""The task calibrate with ``input=...``: λ, what is usual, and thresholds, from a user's own clean pictures."""

import logging
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from rgi.app import run_files, runs
from rgi.app.dry_run.plan import of_pictures
from rgi.app.pictures.own_pictures import Plan, any_residuals, make_plan, make_trainer, with_residuals
from rgi.data.images import parallel_map
from rgi.data.pictures import CleanTiles, Picture
from rgi.data.protocol import stack_images
from rgi.errors import InputError
from rgi.evaluation import calibration
from rgi.evaluation.calibration import Calibration
from rgi.evaluation.clean_images import (
    KINDS_FROM_CLEAN,
    PAINTED_IMAGES,
    STATISTICS_IMAGES,
    choose_map,
    learn_from_clean_images,
)
from rgi.evaluation.clean_residuals import CALIBRATION_IMAGES, CleanResiduals, clean_residuals, inverted_images
from rgi.evaluation.fingerprint import code_fingerprint, fingerprint
from rgi.evaluation.modules import InversionModule
from rgi.evaluation.pictures import PictureData, PictureModule, Solved, solve_pictures
from rgi.evaluation.results import load_result, save_result, stored_fingerprint
from rgi.inversion.maps import CleanStatistics
from rgi.validation import Fraction, check

log = logging.getLogger(__name__)
MIN_PICTURES = 8  # fewer clean pictures tell nothing about a rate of false alarms
HELD_OUT = "validation"  # folder of the results of pictures for the threshold


class CleanPictures:
    """Clean pictures in the place of a dataset, whose images are their tiles.

    Args:
        plan: plan whose pictures are clean.
        files: every second picture is for training, the others are held out.
    """

    category, counted = "", None

    def __init__(self, plan: Plan, files: list[Path]) -> None:
        self.learned, self.held_out = (CleanTiles(files[first::2], plan.fit) for first in range(2))
        self.resolution = plan.gan.card.resolution

    def train(self) -> Dataset[Tensor]:
        """The tiles of the pictures to learn from."""
        return self.learned

    def validation(self) -> Dataset[Tensor]:
        """The tiles of the other pictures."""
        return self.held_out


def calibrate_pictures(cfg: DictConfig) -> None:
    """Measure residuals, statistics and thresholds on clean pictures, and write them beside the generator.

    If the anomaly map needs statistics of clean images, every second picture is held out for the thresholds, because
    scores of pictures that the statistics know are too low.

    Raises:
        InputError: an option is wrong, or a picture cannot be used.
    """
    check("false_positive_rate", cfg.false_positive_rate, Fraction)
    plan = make_plan(cfg)
    files = list(plan.files.items())
    if len(files) < MIN_PICTURES:
        raise InputError(
            f"input={cfg.input}: {len(files)} clean pictures are too few; add some, at least {MIN_PICTURES}"
        )
    images = CleanPictures(plan, [path for _, path in files])
    measured = CleanResiduals.of(plan.gan.card)
    with_residuals(plan, any_residuals()).check_method(cfg)
    _check_pictures(plan, files)
    cfg.map.kind, cfg.map.features = choose_map(cfg.map.kind, cfg.map.features, images, plan.gan)
    held_out = dict(files[1::2] if cfg.map.kind in KINDS_FROM_CLEAN else files)
    if cfg.dry_run:
        more = inverted_images(CALIBRATION_IMAGES) + STATISTICS_IMAGES * (cfg.map.kind in KINDS_FROM_CLEAN)
        more += PAINTED_IMAGES * (cfg.map.kind == "combined")
        module = PictureModule(**plan.options(cfg))
        print(of_pictures(cfg, module, plan.fit, list(held_out.values()), more, str(plan.file)))
        return
    run_files.check_writable(f"generator.path={cfg.generator.path}", plan.file.parent)
    with_residuals(plan, measured)
    folder = runs.open_run(cfg)
    log.info("%d clean pictures, %d of them for the threshold; %s", len(files), len(held_out), plan.fit.describe())
    trainer = make_trainer(cfg)
    with_residuals(plan, _residuals(plan, [path for _, path in files], trainer))
    module = PictureModule(**plan.options(cfg)).to(trainer.strategy.root_device)
    module.clean = _usual(cfg, plan, trainer, folder, images)
    scores, pixels = _solve(cfg, plan, trainer, module, held_out, folder)
    if trainer.is_global_zero:
        _write(cfg, plan, scores, pixels, calibration.statistics_tensors(module.clean))


def _check_pictures(plan: Plan, files: list[tuple[str, Path]]) -> None:
    """Decode all pictures; an error for the first that cannot be used."""

    def check_picture(item: tuple[str, Path]) -> None:
        Picture(*item, plan.fit)

    for _ in parallel_map(check_picture, files, "checking pictures"):
        pass


def _residuals(plan: Plan, files: list[Path], trainer: Trainer) -> CleanResiduals:
    """Residuals of clean tiles, for λ and the weight of |z|²."""
    tiles = stack_images(CleanTiles(files, plan.fit), CALIBRATION_IMAGES)
    plan.gan.to(trainer.strategy.root_device)
    total = inverted_images(len(tiles)) * plan.config.iterations
    with tqdm(total=total, desc="residuals", unit="step", mininterval=1, disable=trainer.global_rank != 0) as bar:
        residuals = clean_residuals(plan.gan, tiles, plan.config, bar.update)
    return residuals


def _usual(
    cfg: DictConfig, plan: Plan, trainer: Trainer, folder: Path, images: CleanPictures
) -> CleanStatistics | None:
    """Statistics of clean tiles; None for a map without statistics."""
    if cfg.map.kind not in KINDS_FROM_CLEAN:
        return None
    module = InversionModule(**plan.options(cfg), results=folder / "results" / "pictures")
    learn_from_clean_images(module, trainer, images, cfg.batch_size)
    return module.clean


def _solve(
    cfg: DictConfig, plan: Plan, trainer: Trainer, module: PictureModule, files: dict[str, Path], folder: Path
) -> tuple[list[float], np.ndarray]:
    """Scores of the pictures, and some pixels of the map of each; finished pictures are not solved again."""
    identity, results = module.identity(), folder / HELD_OUT
    states = {name: fingerprint(identity, path.stat().st_size, path.stat().st_mtime_ns) for name, path in files.items()}
    waiting = {name: path for name, path in files.items() if stored_fingerprint(results, name) != states[name]}

    def finish(solved: Solved) -> None:
        counted = solved.picture.counted
        values = (solved.map.flatten() if counted is None else solved.map[counted]).numpy()
        chosen = np.linspace(0, len(values) - 1, min(len(values), calibration.PIXELS)).astype(int)
        result = {"score": np.float64(solved.score), "pixels": values[chosen]}
        name = solved.picture.name
        save_result(results, name, result | {"fingerprint": np.str_(states[name])})

    solve_pictures(module, trainer, PictureData(waiting, plan.fit, cfg.batch_size, _refuse), finish)
    found = [load_result(results, name, ("score", "pixels")) for name in files]
    return [result["score"].item() for result in found], np.concatenate([result["pixels"] for result in found])


def _refuse(name: str, reason: str) -> None:
    """A calibration leaves no picture out: all were checked before."""
    raise InputError(reason)


def _write(cfg: DictConfig, plan: Plan, scores: list[float], pixels: np.ndarray, statistics: dict[str, Tensor]) -> None:
    """Write the calibration, and print what it says."""
    rate, count = cfg.false_positive_rate, len(scores)
    measured = Calibration(
        generator=plan.gan.card.sha256,
        code=code_fingerprint(),
        settings=plan.settings(cfg),
        **CleanResiduals.of(plan.gan.card)._asdict(),
        scores=sorted(scores),
        false_positive_rate=rate,
        threshold=calibration.threshold(scores, rate),
        pixel_threshold=float(np.quantile(pixels, 1 - rate, method="higher")),
        usual_pixel=float(np.median(pixels)),
        statistics=statistics,
    )
    calibration.save_calibration(measured, plan.file)
    if rate * (count + 1) < 1:
        log.warning(
            "false_positive_rate=%g: %d clean pictures cannot show a rate below %.2g; the threshold is their highest "
            "score; add pictures, or set a higher rate",
            *(rate, count, 1 / (count + 1)),
        )
    print(
        f"threshold {measured.threshold:.4g} from {count} clean pictures: about {100 * measured.expected_rate:.2g} % "
        f"of clean pictures lie above; threshold of the map's pixels {measured.pixel_threshold:.4g}"
    )
    print(plan.file)
