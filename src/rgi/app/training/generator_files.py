"""The tasks that write a generator's file without a training: calibrate and convert."""

import dataclasses
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from rgi.app import run_files
from rgi.app.dry_run import plan
from rgi.app.options import generator, generator_file, make, path_option, prepare, solver_config
from rgi.app.pictures.calibrate import calibrate_pictures
from rgi.data.protocol import evenly_spaced, stack_images
from rgi.errors import InputError
from rgi.evaluation.clean_images import check_used
from rgi.evaluation.clean_residuals import CALIBRATION_IMAGES, clean_residuals
from rgi.generators import places, store, zoo


def calibrate(cfg: DictConfig) -> None:
    """Measure the generator's residuals on clean validation images and write them to its card.

    With ``input=...``, `rgi.app.pictures.calibrate` measures more on a user's own pictures.

    A shipped generator stays as it is: file and card are copied to `rgi.generators.places.LOCAL` first.
    """
    if cfg.input is not None:
        calibrate_pictures(cfg)
        return
    config = solver_config(cfg.solver, "", cfg.task)
    images = make(cfg, "dataset")
    prepare(cfg, images, training=False, tests=False)
    held_out = images.validation()
    check_used(held_out, evenly_spaced(len(held_out), CALIBRATION_IMAGES))
    gan, file = generator(cfg, images), generator_file(cfg)
    path = places.own_file(file)
    if cfg.dry_run:
        print(plan.of_calibration(cfg, images, gan, config, path))
        return
    run_files.check_writable(f"generator.path={path}", path.parent)
    measured = clean_residuals(gan, stack_images(held_out, CALIBRATION_IMAGES), config, counted=images.counted)
    note = ", divided by a scale for each position" if measured.residual_scale else ""
    note += f"; factor on the weight of |z|² for defects {measured.defect_prior:g}"
    if path != file:
        shutil.copyfile(file, path)
    store.write_card(dataclasses.replace(gan.card, **measured._asdict()), path)
    print(f"{path.with_suffix('.json')}: residuals {measured.residuals}{note}")


def convert(cfg: DictConfig) -> None:
    """Convert the authors' checkpoint ``source`` to the safetensors file ``target``."""
    source, target = path_option(cfg, "source"), path_option(cfg, "target")
    places.check_own(f"target={target}", target)
    if cfg.dry_run:
        with TemporaryDirectory() as folder:
            card = store.read_card(zoo.convert(source, Path(folder) / "converted.safetensors"))
        facts = {"source": source, "generator": plan.shape(card)}
        print(plan.of_files(cfg, facts, [str(target), str(target.with_suffix(".json"))]))
        return
    try:
        print(zoo.convert(source, target))
    except OSError as error:
        if str(error.filename) == str(source):
            raise
        raise InputError(f"target={target}: cannot be written ({error.strerror}); name another place") from error
