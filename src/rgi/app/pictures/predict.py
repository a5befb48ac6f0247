"""The task predict with ``input=...``: restored picture, mask, heat map and a row of a table for each picture."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from PIL import Image
from tqdm import tqdm

from rgi.app import runs
from rgi.app.dry_run.plan import of_pictures, run_folder
from rgi.app.pictures.own_pictures import AUTO, Plan, make_plan, make_trainer, with_residuals
from rgi.app.pictures.predictions import FILE, OUTPUTS, Predictions
from rgi.errors import InputError
from rgi.evaluation.clean_images import KINDS_FROM_CLEAN
from rgi.evaluation.clean_residuals import CleanResiduals
from rgi.evaluation.pictures import PictureData, PictureModule, Solved, solve_pictures
from rgi.report.overlay import overlay
from rgi.report.pictures import to_picture
from rgi.validation import Number, check

log = logging.getLogger(__name__)
SHOWN = "0.99"  # quantile of clean residuals that has half of the brightest colour, without a calibration


def predict_pictures(cfg: DictConfig) -> None:
    """Restore pictures, map their defects, and judge them if there is a threshold.

    Raises:
        InputError: an option is wrong, or some pictures could not be used.
    """
    check("threshold", cfg.threshold, Number | None)
    plan = _settled(cfg, make_plan(cfg))
    plan.check_method(cfg)
    trainer = make_trainer(cfg)
    module = PictureModule(**plan.options(cfg)).to(trainer.strategy.root_device)
    module.clean = None if plan.calibration is None else plan.calibration.clean(plan.gan)
    if cfg.dry_run:
        files = f"{run_folder(cfg)}/ with {', '.join((FILE, *(f'{output}/' for output in OUTPUTS)))}"
        print(of_pictures(cfg, module, plan.fit, list(plan.files.values()), 0, files))
        return
    # Results of another generator, calibration, method or version go to a folder of their own.
    OmegaConf.update(cfg, "identity", module.identity(), force_add=True)
    folder = runs.open_run(cfg)
    table = Predictions(folder, _threshold(cfg, plan))
    waiting = table.unfinished(plan.files)
    log.info("%s; %s", _counts(plan, waiting), plan.fit.describe())
    data = PictureData(waiting, plan.fit, cfg.batch_size, _refusal(plan, table))
    solve_pictures(module, trainer, data, _writer(plan, table, _colours(cfg, plan)))
    if trainer.is_global_zero:
        runs.add_settings(folder, {"predict": module.resolved()})
        _summarise(plan, table)


def _settled(cfg: DictConfig, plan: Plan) -> Plan:
    """The plan with the map of the calibration, after a check that the calibration fits."""
    calibration = plan.calibration
    if calibration is None:
        if cfg.map.kind in KINDS_FROM_CLEAN:
            raise InputError(f"map.kind={cfg.map.kind}: needs a calibration; {plan.remedy}, or set map.kind=residual")
        cfg.map.kind = "residual" if cfg.map.kind == AUTO else cfg.map.kind
        return plan
    for option in ("kind", "features"):
        if cfg.map[option] == AUTO:
            cfg.map[option] = calibration.settings.get(f"map.{option}")
    calibration.check(plan.gan, plan.settings(cfg), plan.file, plan.remedy)
    return with_residuals(plan, CleanResiduals.of(calibration))


def _threshold(cfg: DictConfig, plan: Plan) -> float | None:
    """The threshold of the score, with a line that says where it comes from."""
    if cfg.threshold is not None:
        log.info("threshold %g, as given", cfg.threshold)
        return cfg.threshold
    if plan.calibration is None:
        log.warning("no calibration, so there are scores and no verdicts; %s", plan.remedy)
        return None
    log.info(
        "threshold %.4g from %d clean pictures: about %.2g %% of clean pictures lie above",
        *(plan.calibration.threshold, len(plan.calibration.scores), 100 * plan.calibration.expected_rate),
    )
    return plan.calibration.threshold


def _colours(cfg: DictConfig, plan: Plan) -> tuple[float, float]:
    """Values of the map with the first and the last colour; the same for all pictures, so that they can be compared.

    With a calibration, the threshold is half-way.
    """
    if plan.calibration is not None:
        usual, limit = plan.calibration.usual_pixel, plan.calibration.pixel_threshold
        return usual, 2 * limit - usual
    shows_mask = cfg.map.kind == "mask" or (cfg.map.kind is None and plan.config.mask != "none")
    return 0.0, 1.0 if shows_mask else 2 * plan.gan.card.residuals.get(SHOWN, 0.5)


def _writer(plan: Plan, table: Predictions, colours: tuple[float, float]) -> Callable[[Solved], None]:
    """Function that writes the files and then the row of a solved picture."""
    outline = None if plan.calibration is None else plan.calibration.pixel_threshold

    def write(solved: Solved) -> None:
        restored, mask, heat = (tensor.numpy() for tensor in solved.original_size())
        pixels, name = solved.picture.pixels, solved.picture.name
        _save(to_picture(restored), table.folder / "restored" / f"{name}.png")
        _save(to_picture(2 * mask[None] - 1), table.folder / "mask" / f"{name}.png")
        _save(overlay(pixels, heat, colours, outline), table.folder / "overlay" / f"{name}.png")
        values = {"score": solved.score, "seconds": round(solved.seconds, 3), "tiles": len(solved.picture.tiling)}
        table.add(name, plan.files[name], **values, size=f"{pixels.shape[2]}x{pixels.shape[1]}")

    return write


def _save(picture: Image.Image, file: Path) -> None:
    """Write a picture atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    picture.save(part, "PNG")
    os.replace(part, file)


def _refusal(plan: Plan, table: Predictions) -> Callable[[str, str], None]:
    """Function that records a picture that cannot be used; the others go on."""

    def refuse(name: str, reason: str) -> None:
        if len(plan.files) > 1:  # the reason of a single picture is the error message of the run
            tqdm.write(f"error: {reason}", file=sys.stderr)
        table.add(name, plan.files[name], error=reason)

    return refuse


def _counts(plan: Plan, waiting: dict[str, Path]) -> str:
    finished = len(plan.files) - len(waiting)
    return _pictures(len(plan.files)) + (f", of which {finished} are finished" if finished else "")


def _pictures(count: int) -> str:
    return f"{count} picture" + "s" * (count != 1)


def _summarise(plan: Plan, table: Predictions) -> None:
    """Print how many pictures are good, defective and failed; an error for failed ones."""
    rows = [row for row in table.rows() if row["name"] in plan.files]
    failed = [row for row in rows if row["error"]]
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("good", "defective")}
    known = [f"{count} {verdict}" for verdict, count in counts.items() if table.threshold is not None]
    print(", ".join([_pictures(len(rows)), *known, *([f"{len(failed)} failed"] if failed else [])]))
    print(table.file)
    if not failed:
        return
    if len(plan.files) == 1:
        raise InputError(failed[0]["error"])
    raise InputError(
        f"{len(failed)} of {len(rows)} pictures could not be used; {table.file} has the reasons in its column error"
    )
