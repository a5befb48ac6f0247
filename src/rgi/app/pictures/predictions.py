"""The table of a prediction: a row for each finished picture, appended as soon as its files are written."""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

FILE = "predictions.csv"
OUTPUTS = ("restored", "mask", "overlay")  # folders of pictures
COLUMNS = ("name", "score", "verdict", "seconds", "size", "tiles", "error", "bytes", "modified")
Row = dict[str, str]


class Predictions:
    """The rows of all pictures of a run; a killed process leaves at most an incomplete last line.

    Args:
        folder: folder of the run.
        threshold: score above which a picture is defective; None for no verdict.
    """

    def __init__(self, folder: Path, threshold: float | None) -> None:
        self.folder, self.file, self.threshold = folder, folder / FILE, threshold

    def unfinished(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """The pictures that are still to be solved; rows of pictures that failed or have changed are removed.

        The rows that stay are judged by the present threshold.

        Args:
            files: pictures by name.
        """
        kept = {row["name"]: row for row in self.rows() if self._is_valid(row, files.get(row["name"]))}
        if rank_zero_only.rank == 0:
            for part in (part for name in OUTPUTS for part in (self.folder / name).rglob("*.part")):
                part.unlink(missing_ok=True)  # of a killed process
            for row in kept.values():
                row["verdict"] = self.verdict(float(row["score"]))
            part = self.file.with_suffix(".part")
            part.write_text("".join(map(_line, [dict(zip(COLUMNS, COLUMNS, strict=True)), *kept.values()])), "utf-8")
            os.replace(part, self.file)
        return {name: path for name, path in files.items() if name not in kept}

    def rows(self) -> Iterator[Row]:
        """All complete rows of the file."""
        if not self.file.exists():
            return
        complete, _, _ = self.file.read_text("utf-8").rpartition("\n")
        for row in csv.DictReader(io.StringIO(complete, newline="")):
            if None not in row and None not in row.values():
                yield row

    def verdict(self, score: float) -> str:
        """good or defective; empty without a threshold."""
        if self.threshold is None:
            return ""
        return "defective" if score > self.threshold else "good"

    def add(self, name: str, path: Path, **values: Any) -> None:
        """Append the row of a picture.

        Args:
            name: name of the picture.
            path: its file.
            values: further columns.
        """
        size, modified = _state(path)
        row = dict.fromkeys(COLUMNS, "") | {"name": name, "bytes": size, "modified": modified} | values
        if "score" in values:
            row["verdict"] = self.verdict(values["score"])
        # One write, so that the rows of several processes do not mix.
        with self.file.open("ab", buffering=0) as file:
            file.write(_line(row).encode())

    def _is_valid(self, row: Row, path: Path | None) -> bool:
        """Whether a row is of a solved picture with all its files, and the picture is unchanged or gone."""
        if row["error"] or not row["score"]:
            return False
        if path is not None and _state(path) != (row["bytes"], row["modified"]):
            return False
        return all((self.folder / output / f"{row['name']}.png").is_file() for output in OUTPUTS)


def _state(path: Path) -> tuple[str, str]:
    """Size and time of a file; empty if it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return "", ""
    return str(stat.st_size), str(stat.st_mtime_ns)


def _line(row: Mapping[str, Any]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(row)
    return text.getvalue()
