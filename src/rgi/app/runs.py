"""Run folders: a new folder for each run, or the folder of an interrupted run that continues."""

import json
import logging
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from rgi.app import sweep
from rgi.app.options import generator_file
from rgi.errors import InputError
from rgi.generators import store

log = logging.getLogger(__name__)
# Environment variable with the run folder, for the processes that Lightning starts.
INHERITED = "RGI_RUN_FOLDER"
LOCK = ".lock"  # name of the lock file in a run folder
_held: list[FileLock] = []  # the operating system releases the locks of a dead process


def open_run(cfg: DictConfig) -> Path:
    """Make or find the folder of this run, lock it, and write ``config.yaml`` and ``environment.json``.

    The folder is ``output_dir``. Without this option, an unfinished run with the same configuration in
    ``outputs/<experiment>`` continues. Otherwise the run has a new folder, named by date and time. A job of a multirun
    has a subfolder in the folder of the multirun.

    Raises:
        InputError: the folder has a run of another configuration, or another process is working in the folder.
    """
    if rank_zero_only.rank:
        return _sweep() or Path(os.environ[INHERITED])
    config = resolved(cfg)
    check_writable(f"output_dir={cfg.output_dir}", Path(cfg.output_dir or "outputs"))
    folder = Path(cfg.output_dir) if cfg.output_dir else _sweep() or _unfinished(cfg, config) or _fresh(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    claim(folder / LOCK, f"{folder}: another process is working in this folder")
    file = folder / "config.yaml"
    if file.exists() and file.read_text() != config:
        raise InputError(f"{folder}: has a run of another configuration (see its config.yaml); name another output_dir")
    file.write_text(config)
    write_json(folder / "environment.json", environment())
    os.environ[INHERITED] = str(folder)
    return folder


def finished_job(cfg: DictConfig) -> bool:
    """Whether an earlier process has finished this job of a multirun with the same configuration and generator."""
    folder = _sweep()
    if (
        cfg.output_dir
        or folder is None
        or not all((folder / name).exists() for name in ("metrics.json", "config.yaml"))
    ):
        return False
    finished = OmegaConf.load(folder / "config.yaml")
    if "sha256" in finished.get("generator", {}):
        OmegaConf.update(cfg, "generator.sha256", store.read_card(generator_file(cfg)).sha256, force_add=True)
    same = OmegaConf.to_yaml(finished) == resolved(cfg)
    if same:
        log.info("%s: this job is already finished", folder)
    return same


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


def check_writable(option: str, folder: Path) -> None:
    """Make a folder and check that it is writable.

    Args:
        option: option with its value, for the error message.
        folder: folder to check.

    Raises:
        InputError: the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{option}: cannot be written ({error.strerror}); name another place") from error


def close_run() -> None:
    """Release all locks and forget the run folder, so that the next job of a multirun opens its own folder."""
    os.environ.pop(INHERITED, None)
    while _held:
        _held.pop().release()


def resolved(cfg: DictConfig) -> str:
    """The configuration as YAML with resolved references and without options that do not change results."""
    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    for key in ("output_dir", "debug"):
        plain.pop(key)
    return OmegaConf.to_yaml(plain)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically; numbers that are not finite become null."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")
    os.replace(part, path)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return None if isinstance(content, float) and not math.isfinite(content) else content


def peak_memory() -> float:
    """Peak memory of this process in MiB: GPU memory if a GPU is available, else main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes per unit of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def environment() -> dict[str, str]:
    """The environment of a run: command, time, commit, device and versions."""
    packages = ("robust-gan-inversion", "torch", "pytorch-lightning", "torchmetrics", "hydra-core")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return {
        "command": " ".join(["python", *sys.argv]),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "device": device,
        **{name: version(name) for name in packages},
    }


def _commit() -> str:
    """The commit of the checkout; "unknown" without a checkout or without git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return git.stdout.strip()


def _sweep() -> Path | None:
    """The folder of this job in a multirun; None outside a multirun."""
    if sweep.current_job() is None:
        return None
    folder = Path(HydraConfig.get().runtime.output_dir)
    os.environ[sweep.FOLDER] = folder.parent.name  # the processes of `trainer=ddp` run the same jobs
    return folder


def _unfinished(cfg: DictConfig, config: str) -> Path | None:
    """The newest run with this configuration and without metrics, in which no process is working."""
    for file in sorted(Path("outputs").glob(f"{cfg.name}/*/config.yaml"), reverse=True):
        folder = file.parent
        if not (folder / "metrics.json").exists() and file.read_text() == config and _lock(folder / LOCK):
            log.info("continuing the unfinished run in %s", folder)
            return folder
    return None


def _fresh(cfg: DictConfig) -> Path:
    """A new folder name from date and time."""
    base = Path("outputs") / cfg.name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
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
