"""The result files: one ``<name>.npz`` per image, with the arrays and numbers for tables and reports.

`rgi.evaluation.base` writes the files. Names may contain folders ("<kind>/<stem>").
"""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rgi.errors import InputError

Result = dict[str, np.ndarray]  # one image's arrays and numbers by name
COLUMNS = (
    *("category", "score", "objective", "iterations", "evaluations", "seconds", "pixel_auroc", "psnr", "ssim"),
    "defective",
)
# Damaged files make NumPy and zipfile fail with many kinds of exceptions.
READ_ERRORS = (OSError, EOFError, BadZipFile, zlib.error, ValueError, LookupError, RuntimeError)


def result_path(folder: Path, name: str) -> Path:
    """Path of an image's result file in a folder of results."""
    return folder / f"{name}.npz"


def save_result(folder: Path, name: str, result: Result) -> None:
    """Write the result file of an image; an error leaves no incomplete file."""
    path = result_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            np.savez_compressed(stream, **result)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_result(folder: Path, name: str, required: Sequence[str] = (), optional: Sequence[str] | None = None) -> Result:
    """Read the result file of an image.

    Args:
        folder: folder of the results.
        name: name of the image.
        required: names of arrays that must be in the file.
        optional: names of arrays that are read if they exist; None for all arrays of the file.

    Raises:
        InputError: the file is missing or damaged, or has no required array.
    """
    path = result_path(folder, name)
    remedy = "remove the file and run the same command again to solve this image"
    try:
        with np.load(path, allow_pickle=False) as file:
            wanted = file.files if optional is None else [key for key in (*required, *optional) if key in file]
            arrays = {key: file[key] for key in wanted}
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; run the same command again to solve this image") from error
    except PermissionError:
        raise
    except READ_ERRORS as error:
        raise InputError(f"{path}: is not a result file ({error}); {remedy}") from error
    for key in required:
        if not isinstance(arrays.get(key), np.ndarray):  # NumPy returns other contents of a zip archive as bytes
            raise InputError(f"{path}: has no array {key!r}; {remedy}")
    return arrays


def stored_fingerprint(folder: Path, name: str) -> str | None:
    """Fingerprint in the file of an image; None without a file, and "" for a damaged or older file."""
    if not result_path(folder, name).exists():
        return None
    try:
        return load_result(folder, name, ("fingerprint",), ())["fingerprint"].item()
    except InputError:
        return ""


def image_rows(folder: Path, names: Sequence[str], method: str) -> list[dict[str, Any]]:
    """Numbers from result files, one row per image, as in ``per_image.csv``.

    Args:
        folder: folder of the results.
        names: names of the images.
        method: name of the method in the rows.
    """
    table = []
    for name in names:
        result = load_result(folder, name, optional=COLUMNS)
        row = {"method": method, "name": name, "kind": name.rpartition("/")[0]}
        table.append(row | {column: result[column].item() for column in COLUMNS if column in result})
    return table
