"""The result format: one ``<name>.npz`` per image, whose arrays and numbers every table and page is made from.

`rgi.evaluation.modules` says what a file holds. Names may contain folders ("<kind>/<stem>").
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rgi.errors import InputError

Result = dict[str, np.ndarray]  # one image's arrays and numbers by name
COLUMNS = ("category", "score", "objective", "iterations", "evaluations", "seconds", "pixel_auroc", "psnr", "ssim")


def result_path(folder: Path, name: str) -> Path:
    """The file of an image in a folder of results."""
    return folder / f"{name}.npz"


def save_result(folder: Path, name: str, result: Result) -> None:
    """Write one image's file, whole or not at all."""
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
    """Read one image's file.

    Args:
        folder: of the results.
        name: of the image.
        required: arrays that must be there.
        optional: arrays that are read if they are there; None reads everything.

    Raises:
        InputError: the file is missing or damaged, or lacks a required array.
    """
    path = result_path(folder, name)
    remedy = "remove it and start the run's command again, which solves this image anew"
    try:
        with np.load(path, allow_pickle=False) as file:
            wanted = file.files if optional is None else [key for key in (*required, *optional) if key in file]
            arrays = {key: file[key] for key in wanted}
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; start the run's command again, which solves this image") from error
    except (ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: is no results file ({error}); {remedy}") from error
    for key in required:
        if key not in arrays:
            raise InputError(f"{path}: lacks the array {key!r}; {remedy}")
    return arrays


def image_rows(folder: Path, names: Sequence[str], method: str) -> list[dict[str, Any]]:
    """The numbers of each image, read back from its file: one row per image, as ``per_image.csv`` holds them."""
    table = []
    for name in names:
        result = load_result(folder, name, optional=COLUMNS)
        row = {"method": method, "name": name, "kind": name.rpartition("/")[0]}
        table.append(row | {column: result[column].item() for column in COLUMNS if column in result})
    return table
