"""Files of a run: read with clear errors, and written atomically."""

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yaml import YAMLError

from rgi.errors import InputError

LOCK = ".lock"  # name of the lock file in a run folder
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # nothing is lost: the same command continues
UNLOGGED = ".unlogged"  # empty file in a run's folder while the results are complete and the log is not


def is_finished(folder: Path) -> bool:
    """Whether the run in a folder has written all its files and its log."""
    return (folder / "metrics.json").exists() and not (folder / UNLOGGED).exists()


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
        probe = folder / ".writable"  # always the same name: a killed process leaves one that the next removes
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{option}: cannot be written ({error.strerror}); name another place") from error


def read_file(file: Path, parse: Callable[[str], Any] = json.loads) -> Any:
    """Content of a run's file.

    Args:
        file: JSON file, or a file in another format.
        parse: function that reads the format.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return parse(file.read_text())
    except (ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: is damaged ({reason}); remove it, or name another folder for the run") from error


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically; numbers that are not finite become null."""
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return None if isinstance(content, float) and not math.isfinite(content) else content
