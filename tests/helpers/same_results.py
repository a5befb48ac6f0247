"""Differences between the files of a run that was killed and those of an uninterrupted run."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

TIMES = ("seconds", "seconds_per_image", "peak_memory_mib", "fit_seconds", "started")
DATE = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?")
# Logs of a resumed training have names of their own. Reports show times, and Hydra's file for a multirun dates. The
# cache of images deletes files of killed processes after a day.
FREE = re.compile(r"(^|/)log/|\.lock$|^output\.txt$|\.html$|/table\.(md|tex)$|/multirun\.yaml$|^cache/.*\.part$")


def differences(expected: Path, found: Path) -> list[str]:
    """What differs between two working folders, apart from times, dates and logs; empty for the same results."""
    sides = []
    for base in (expected, found):
        files: dict[str, Path] = {}
        for path in sorted(path for path in base.rglob("*") if path.is_file()):
            name = DATE.sub("DATE", path.relative_to(base).as_posix())
            if name in files:
                return [f"{path.relative_to(base)}: a second run folder"]
            files[name] = path
        folders = [DATE.sub("DATE", path.relative_to(base).as_posix()) for path in base.rglob("*") if path.is_dir()]
        sides.append((files, sorted(name for name in folders if not FREE.search(f"{name}/"))))
    (wanted, before), (there, after) = sides
    names = [{name for name in side if not FREE.search(name)} for side in (wanted, there)]
    lines = [f"{name}: missing" for name in sorted(names[0] - names[1])]
    lines += [f"{name}: left over" for name in sorted(names[1] - names[0])]
    lines += [] if before == after else [f"folders {sorted({*before} ^ {*after}) or 'of two dates'}"]
    return lines + [
        f"{name}: {reason}" for name in sorted(names[0] & names[1]) for reason in _compare(wanted[name], there[name])
    ]


def _compare(expected: Path, found: Path) -> Iterator[str]:
    """Reasons why two files are not the same."""
    if expected.suffix == ".json":
        contents = [_without_times(json.loads(path.read_text())) for path in (expected, found)]
        if contents[0] != contents[1]:
            yield f"{contents[1]} instead of {contents[0]}"
    elif expected.suffix == ".csv":
        tables = [_table(path) for path in (expected, found)]
        if tables[0] != tables[1]:
            yield f"{tables[1]} instead of {tables[0]}"
    elif expected.suffix == ".npz":
        with np.load(expected) as one, np.load(found) as other:
            if one.files != other.files:
                yield "has other arrays"
            else:
                yield from (
                    f"array {name} differs"
                    for name in one.files
                    if name not in TIMES and not np.array_equal(one[name], other[name], one[name].dtype.kind == "f")
                )
    elif expected.suffix == ".ckpt":
        states = [torch.load(path, map_location="cpu", weights_only=True) for path in (expected, found)]
        for key in ("state_dict", "optimizer_states", "global_step"):
            if not _equal(states[0][key], states[1][key]):
                yield f"{key} differs"
    elif expected.read_bytes() != found.read_bytes():
        yield "differs"


def _without_times(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _without_times(value) for name, value in content.items() if name not in TIMES}
    return content


def _table(path: Path) -> list[dict[str, str]]:
    """The rows of a table without times, neither as a column nor as the metric of a row."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("metric") not in TIMES]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
