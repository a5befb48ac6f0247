"""Runs of Weights & Biases: their names, groups, tags and ids, their tables of pictures, and the generator as artifact.

W&B ends the name of a run's folder with the run's id, so the folder of our run tells the W&B runs that it has.
"""

import os
import re
import secrets
from collections.abc import Iterable
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rgi.app import run_files, runs
from rgi.app.grid import set_name
from rgi.app.options import find_generator
from rgi.data.protocol import evenly_spaced
from rgi.evaluation.results import load_result
from rgi.generators import store
from rgi.report.pictures import heatmap, heatmap_scale, to_picture

PICTURE_COLUMNS = ("observed", "restored", "map", "truth")  # of the table of pictures
TABLE_IMAGES = 200  # highest number of images in the table of pictures; W&B shows longer tables slowly
TAG_LENGTH = 64  # W&B refuses longer tags
KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")  # environment variables that identify a user of W&B
FOLDER = re.compile(r"(?P<mode>offline-)?run-(?P<time>\d{8}_\d{6})-(?P<id>.+)")  # name of the folder of a W&B run


def is_offline(cfg: DictConfig) -> bool:
    """Whether W&B only writes files, by the option or by W&B's own environment variable."""
    return cfg.logger.offline or os.environ.get("WANDB_MODE", "online") != "online"


def has_key() -> bool:
    """Whether W&B can find a key: in an environment variable, or in the file that ``wandb login`` writes."""
    if any(os.environ.get(name) for name in KEYS):
        return True
    files = [os.environ.get("NETRC", ""), os.path.expanduser("~/.netrc"), os.path.expanduser("~/_netrc")]
    for file in files:
        try:
            logins = netrc(file).hosts.values() if file else ()
        except (OSError, NetrcParseError):
            continue
        if any(login == "user" for login, _, _ in logins):  # W&B's own name for the owner of a key
            return True
    return False


def settings(
    cfg: DictConfig, method: str, folder: Path, since: int | None = None, protocols: Iterable[str] = ()
) -> dict[str, Any]:
    """Arguments of Lightning's logger for the W&B run of a method or training.

    A run that continues is the same W&B run. W&B cannot do this offline: there, the second part is a run of its own,
    whose name ends in ``_from_<step>`` or ``-continued``, and whose configuration names the first part.

    Args:
        cfg: configuration of the run.
        method: name of the method, or ``pretrain`` or ``encode``.
        folder: folder of the run.
        since: step from which a training continues; None for its beginning.
        protocols: names of the protocols of the scores.
    """
    choices = HydraConfig.get().runtime.choices
    config = OmegaConf.to_container(OmegaConf.create(runs.resolved(cfg)), resolve=True)
    environment = run_files.read_file(folder / "environment.json")
    config["environment"] = {name: value for name, value in environment.items() if name != "methods"}
    name, part = f"{cfg.name or cfg.task}-{method}", re.sub(r"[^\w-]", "_", method)[:TAG_LENGTH]
    earlier, was_offline = _earlier(folder, part)
    run_id = f"{part}-{secrets.token_hex(4)}"
    if earlier and not was_offline and not is_offline(cfg):
        run_id = earlier
    elif earlier:
        config["continues"] = earlier
        name += "-continued" if since is None else f"_from_{since}"
    tags = [choices.dataset, set_name(_root_=cfg), method, _generator_name(cfg), *protocols]
    return {
        "save_dir": str(folder),
        "name": name,
        "id": run_id,
        "group": cfg.logger.group or choices.dataset,
        "job_type": method,
        "tags": [*(cfg.logger.get("tags") or ()), *dict.fromkeys(tag[:TAG_LENGTH] for tag in tags if tag)],
        "config": config,
    }


def pictures(table: list[dict[str, Any]], results: Path) -> list[list[Any]]:
    """Rows of the table of pictures, for at most `TABLE_IMAGES` evenly spaced images.

    All heat maps have the same scale.

    Args:
        table: rows of per_image.csv of one method.
        results: folder of the method's results.
    """
    import wandb

    shown = [table[i] for i in evenly_spaced(len(table), TABLE_IMAGES)]
    arrays = [load_result(results, row["name"], ("map",), PICTURE_COLUMNS) for row in shown]
    scale = heatmap_scale(each["map"] for each in arrays)
    lines = []
    for row, each in zip(shown, arrays, strict=True):
        drawn = {name: to_picture(each[name]) for name in ("observed", "restored", "truth") if name in each}
        drawn["map"] = heatmap(each["map"], scale)
        cells = [wandb.Image(drawn[name]) if name in drawn else None for name in PICTURE_COLUMNS]
        lines.append([row["name"], row["score"], *cells])
    return lines


def log_generator(run: Any, cfg: DictConfig, made: bool = False) -> None:
    """Name the generator as an artifact: its card and the hashes of its file, without a copy of the file.

    Equal files are one version of the artifact, on every machine.

    Args:
        run: open W&B run.
        cfg: configuration of the run.
        made: whether the run has made the generator; otherwise it has used it.
    """
    import wandb

    file = find_generator(cfg)
    if not _generator_name(cfg) or file is None:
        return
    card = store.read_card(file)
    facts = {name: getattr(card, name) for name in ("sha256", "family", "resolution", "channels", "steps", "dataset")}
    artifact = wandb.Artifact(f"generator-{card.sha256[:12]}", "generator", metadata=facts | {"file": file.name})
    artifact.add_reference(file.resolve().as_uri(), name=file.name)
    # W&B refuses to note the use of an artifact offline.
    (run.log_artifact if made or run.offline else run.use_artifact)(artifact)


def _generator_name(cfg: DictConfig) -> str:
    """Name of the generator's file; empty for a baseline that needs none."""
    baseline = cfg.get("baseline")
    return "" if baseline and baseline.get("features") != "critic" else Path(str(cfg.generator.path)).stem


def _earlier(folder: Path, part: str) -> tuple[str, bool]:
    """Id of the newest W&B run of a method in the run's folder, and whether it was offline; an empty id for none."""
    found = [match for path in folder.glob("wandb/*run-*") if (match := FOLDER.fullmatch(path.name))]
    found = [match for match in found if match["id"].rpartition("-")[0] == part]
    newest = max(found, key=lambda match: match["time"], default=None)
    return ("", False) if newest is None else (newest["id"], bool(newest["mode"]))
