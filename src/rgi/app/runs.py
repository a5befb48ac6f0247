"""Run folders: a new folder for each run, or the folder of an interrupted run that continues."""

import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from rgi.app.environment import environment
from rgi.app.jobs import launch, sweep
from rgi.app.options import find_generator, make
from rgi.app.run_files import LOCK, check_writable, is_finished, read_file, write_json, write_text
from rgi.baselines.imagenet import is_installed
from rgi.data.corruptions.mask_folder import MaskFolder
from rgi.data.files import FileSet
from rgi.errors import InputError
from rgi.evaluation.fingerprint import code_fingerprint
from rgi.evaluation.fingerprint import fingerprint as make_fingerprint
from rgi.generators import store

log = logging.getLogger(__name__)
# Environment variable with the run folder, for the processes that Lightning starts.
INHERITED = "RGI_RUN_FOLDER"
TRAINING_TASKS = ("pretrain", "encode")
RESULTS = ("results", "clean", "painted", "validation")  # folders with the results of images
_held: list[FileLock] = []  # the operating system releases the locks of a dead process


def open_run(cfg: DictConfig) -> Path:
    """Make or find the folder of this run, lock it, and write ``config.yaml`` and ``environment.json``.

    The folder is ``output_dir``. Without this option, an unfinished run with the same configuration in
    ``outputs/<experiment>`` continues. Otherwise the run has a new folder, named by date and time. A job of a multirun
    has a subfolder in the folder of the multirun. Options that decide no result may differ from those of the unfinished
    run, such as the batch size of an inversion.

    Raises:
        InputError: the folder has a run of another configuration, or another process is working in the folder; or
            ``dry_run`` is true, and the task has no plan.
    """
    if cfg.dry_run:
        raise InputError(f"dry_run=true: task={cfg.task} has no plan; remove dry_run")
    if rank_zero_only.rank:
        return Path(cfg.output_dir) if cfg.output_dir else _sweep() or Path(os.environ[INHERITED])
    config, fingerprint = resolved(cfg), run_fingerprint(cfg)
    check_writable(f"output_dir={cfg.output_dir or 'outputs'}", Path(cfg.output_dir or "outputs"))
    folder = _existing(cfg, config, fingerprint) or new_folder(cfg.name)
    folder.mkdir(parents=True, exist_ok=True)
    claim(folder / LOCK, f"{folder}: another process is working in this folder")
    file = folder / "config.yaml"
    if file.exists() and read_file(file, decisive_options) != decisive_options(config):
        raise InputError(f"{folder}: has a run of another configuration (see its config.yaml); name another output_dir")
    for part in (part for name in RESULTS for part in (folder / name).rglob("*.part")):  # of a killed process
        part.unlink(missing_ok=True)
    stored = _stored_fingerprint(folder)
    if stored not in (None, fingerprint) and (folder / "checkpoints").exists():
        raise InputError(
            f"{folder}: has checkpoints of a training on other images; name another output_dir, or remove this folder"
        )
    if stored != fingerprint:
        (folder / "metrics.json").unlink(missing_ok=True)  # an older run is not the finished state of this one
    write_text(file, config)
    write_json(folder / "environment.json", {**environment(), "fingerprint": fingerprint})
    os.environ[INHERITED] = str(folder)
    launch.announce(folder)
    return folder


def add_settings(folder: Path, settings: dict[str, dict[str, Any]]) -> None:
    """Add to ``environment.json`` what each method ran with, under the key ``methods``.

    Args:
        folder: folder of the run.
        settings: for each method, its resolved settings by name, such as λ and the precision of the networks.
    """
    file = folder / "environment.json"
    write_json(file, {**read_file(file), "methods": settings})


def joined() -> bool:
    """Begin a job. Processes of torchrun and srun wait until the first has opened the run folder.

    Returns:
        Whether this process takes part; False if the first does the job alone, or has ended with an error.
    """
    launch.next_job()
    if launch.launcher() is None or launch.rank() == 0:
        return True
    folder = launch.wait_for_folder()
    if folder is not None:
        os.environ[INHERITED] = str(folder)
    return folder is not None


def finished_job(cfg: DictConfig) -> bool:
    """Whether an earlier process has finished this job of a multirun, with the same `run_fingerprint`."""
    folder = _sweep()
    if cfg.output_dir or folder is None or not is_finished(folder):
        return False
    finished = _stored_fingerprint(folder) == run_fingerprint(cfg)
    if finished:
        log.info("%s: this job is already finished", folder)
    return finished


def run_fingerprint(cfg: DictConfig) -> str:
    """Fingerprint of all that decides the results of a run: options, data files, generator and code.

    Files of data count by name, size and time. A training does not depend on the generator that it writes.
    """
    generator = code = None  # a training may be continued by another version of the code, as environment.json tells
    if cfg.task not in TRAINING_TASKS:
        code = code_fingerprint()
        file = find_generator(cfg)
        card = None if file is None else store.read_card(file)
        generator = None if card is None else [card.sha256, card.residuals, card.residual_scale, card.defect_prior]
        if OmegaConf.select(cfg, "map.features") == "auto":  # another choice with the extra than without
            code = [code, is_installed()]
    options = decisive_options(resolved(cfg))
    options.get("generator", {}).pop("sha256", None)  # only a task that has loaded the generator adds it
    return make_fingerprint(code, options, _data_files(cfg), generator)


def _data_files(cfg: DictConfig) -> list[str]:
    """Name, size and time of all files of the dataset and of a folder of masks; empty for images of a package.

    A training uses no test images.
    """
    if cfg.dataset is None:  # with input=..., each picture is compared with its row
        return []
    images, corruption = make(cfg, "dataset"), make(cfg, "corruption") if cfg.get("corruption") else None
    files: list[Path] = []
    if isinstance(images, FileSet):
        tests = [] if cfg.task in TRAINING_TASKS else images.samples()
        files += [*images.training_files(), *(sample.image for sample in tests)]
        files += [sample.mask for sample in tests if sample.mask is not None]
        files += [] if images.roi is None else [images.roi]
    if isinstance(corruption, MaskFolder):
        files += corruption.files
    stats = ((file, file.stat()) for file in files)
    return [f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats]


def _stored_fingerprint(folder: Path) -> str | None:
    """The fingerprint of the run that wrote this folder's files."""
    file = folder / "environment.json"
    return read_file(file).get("fingerprint") if file.exists() else None


def claim(file: Path, complaint: str) -> None:
    """Lock a file until `close_run` or the end of this process.

    Args:
        file: lock file.
        complaint: text of the error message if another process has the lock.

    Raises:
        InputError: another process holds the lock.
    """
    if rank_zero_only.rank == 0 and not _lock(file):
        raise InputError(f"{complaint}; wait for the other process, or name another place")


def close_run() -> None:
    """Release all locks and forget the run folder, so that the next job of a multirun opens its own folder."""
    os.environ.pop(INHERITED, None)
    while _held:
        _held.pop().release()


def resolved(cfg: DictConfig) -> str:
    """The configuration as YAML with resolved references, without the run's folder."""
    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    for key in ("output_dir", "debug", "dry_run"):
        plain.pop(key, None)
    return OmegaConf.to_yaml(plain)


def decisive_options(config: str) -> dict[str, Any]:
    """The options of a configuration in YAML that decide results.

    Images are solved one by one, so the batch size and the devices of an inversion decide nothing. A training depends
    on both.
    """
    options = OmegaConf.to_container(OmegaConf.create(config))
    neutral = ["logger", "pretrain_if_missing", "checkpoint_every"]
    if options.get("task") == "predict":
        neutral.append("threshold")  # it decides the verdicts, which are made anew
    if options.get("task") not in TRAINING_TASKS:
        neutral += ["batch_size", "trainer"]
    return {name: value for name, value in options.items() if name not in neutral}


def _sweep() -> Path | None:
    """The folder of this job in a multirun; None outside a multirun."""
    if sweep.current_job() is None:
        return None
    folder = Path(HydraConfig.get().runtime.output_dir)
    os.environ[sweep.FOLDER] = folder.parent.name  # the processes of `trainer=ddp` run the same jobs
    return folder


def interrupted(cfg: DictConfig) -> Path | None:
    """The folder of the unfinished run that `open_run` will continue; None if it will begin a run."""
    if rank_zero_only.rank:
        return open_run(cfg)
    folder = _existing(cfg, resolved(cfg), run_fingerprint(cfg))
    return None if folder is None or is_finished(folder) else folder


def _existing(cfg: DictConfig, config: str, fingerprint: str) -> Path | None:
    """The folder that the options name, or that of an unfinished run; None if neither exists."""
    return Path(cfg.output_dir) if cfg.output_dir else _sweep() or _unfinished(cfg, config, fingerprint)


def _unfinished(cfg: DictConfig, config: str, fingerprint: str) -> Path | None:
    """The newest run with this configuration and without metrics, in which no process is working.

    A run that was killed before it had a configuration also counts.
    """
    for folder in sorted(Path("outputs").glob(f"{cfg.name}/*/"), reverse=True):
        file = folder / "config.yaml"
        if not file.exists():
            same = {each.name for each in folder.iterdir()} <= {LOCK, "config.part"}
        elif (folder / "checkpoints").exists() and _stored_fingerprint(folder) not in (None, fingerprint):
            continue  # a training on other images; results of an inversion have fingerprints of their own
        else:
            same = read_file(file, decisive_options) == decisive_options(config)
        if same and not is_finished(folder) and _lock(folder / LOCK):
            log.info("continuing the unfinished run in %s", folder)
            return folder
    return None


def new_folder(name: str) -> Path:
    """Path of a new folder for a run of this name, from date and time."""
    base = Path("outputs") / name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return next(p for p in (base, *(Path(f"{base}_{n}") for n in range(1, 100))) if not p.exists())


def _lock(file: Path) -> bool:
    """Take a lock; returns False if another process has the lock."""
    if any(lock.lock_file == str(file) for lock in _held):
        return True
    lock = FileLock(file, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return False
    _held.append(lock)
    return True
