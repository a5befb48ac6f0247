"""A record of files that were decoded and checked, so that a later run does not decode all of them again.

The record of a dataset is a text file in the cache folder, with one line for each file: what was found, and the size
and the times of the file. A file counts as checked as long as all of these are the same. The change time is one of
them: a program can set back the modification time of a file, but not its change time.

Lines are only ever appended, and each has a checksum. A kill can therefore spoil one line at most, and several
processes may write at once. A spoilt or missing line means only that its file is checked again.
"""

import hashlib
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import PIL

from rgi.data.cache import PREFIX, Facts, cache_folder, file_hash
from rgi.data.images import CHUNK, check_image, check_mask_content, is_grey, parallel_map

log = logging.getLogger(__name__)
VERSION = 1  # increase it after a change of the checks or of the line format
SETTLED = 2.0  # seconds; an even younger change could be followed by another one within the same tick of the clock


State = tuple[int, int, int]  # size in bytes, modification time and change time in nanoseconds
Key = tuple[str, str]  # kind of check, absolute path


class CheckedFiles:
    """The checked files of a dataset.

    Args:
        owner: name of the dataset; datasets of one name share a record.
    """

    def __init__(self, owner: str) -> None:
        recipe = repr((VERSION, PIL.__version__, owner))
        name = hashlib.sha256(recipe.encode()).hexdigest()[:32]
        self.path = cache_folder() / f"{PREFIX}{name}.checked"
        self.writable = True

    def images(self, files: Sequence[Path], description: str) -> list[Facts]:
        """Check all image files that have changed since their last check.

        Args:
            files: image files.
            description: text beside the progress bar.

        Raises:
            InputError: `check_image` raises an error.
        """
        return self._check("image", files, lambda path: (check_image(path), is_grey(path)), description)

    def masks(self, files: Sequence[Path], description: str) -> list[Facts]:
        """Check all mask files that have changed since their last check; arguments as for `images`.

        Raises:
            InputError: `check_mask_content` raises an error.
        """
        return self._check("mask", files, lambda path: (check_mask_content(path), True), description)

    def known(self, path: Path) -> Facts | None:
        """What is known of an image file; None if it was not checked in its present state."""
        with suppress(OSError):
            return self._recorded("image", path, _state(path))
        return None

    def _check(
        self,
        kind: str,
        files: Sequence[Path],
        check: Callable[[Path], tuple[tuple[int, int], bool]],
        description: str,
    ) -> list[Facts]:
        def examine(path: Path) -> tuple[State, Facts, bool]:
            now, state = time.time_ns(), _state(path)
            return state, Facts(*check(path), file_hash(path)), now - state[2] > SETTLED * 1e9

        found = [self._recorded(kind, path, _state(path)) for path in files]
        new = [number for number, facts in enumerate(found) if facts is None]
        lines: list[bytes] = []
        try:
            examined = parallel_map(examine, [files[number] for number in new], description)
            for number, (state, facts, settled) in zip(new, examined, strict=True):
                found[number] = facts
                key = kind, os.path.abspath(files[number])
                self._lines[key] = state, facts
                if settled:
                    lines.append(_line(key, state, facts))
                if len(lines) == CHUNK:
                    self._append(lines)
                    lines = []
        finally:
            self._append(lines)  # an error in one file must not lose the others
        return found

    def _recorded(self, kind: str, path: Path, state: State) -> Facts | None:
        known, facts = self._lines.get((kind, os.path.abspath(path)), (None, None))
        return facts if known == state else None

    @cached_property
    def _lines(self) -> dict[Key, tuple[State, Facts]]:
        """The sound lines of the record; the last line of a file counts."""
        try:
            content = self.path.read_bytes()
            with suppress(OSError):  # the file may belong to another user
                os.utime(self.path)  # files that nobody uses are deleted, see `rgi.data.cache`
        except OSError:
            return {}
        sound = [text for line in content.splitlines() if (text := _sound(line))]
        return {
            (kind, path): (tuple(state), Facts(tuple(size), grey, sha256))
            for (kind, path), state, (size, grey, sha256) in json.loads(b"[%s]" % b",".join(sound))  # one call is fast
        }

    def _append(self, lines: list[bytes]) -> None:
        if not lines or not self.writable:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered, so that the lines are written by one call, and after an empty line: the last may be torn.
            with self.path.open("ab", buffering=0) as file:
                file.write(b"\n" + b"".join(lines))
        except OSError as error:
            self.writable = False
            log.warning(
                "%s: cannot be written (%s), so the next run will check all images again; set RGI_CACHE to a folder "
                "with free space",
                *(self.path, error.strerror or error),
            )


def _state(path: Path) -> State:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _line(key: Key, state: State, facts: Facts) -> bytes:
    text = json.dumps([key, state, facts]).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _sound(line: bytes) -> bytes:
    """Content of a line; empty for a spoilt one."""
    checksum, _, text = line.partition(b" ")
    return text if checksum == b"%08x" % zlib.crc32(text) else b""
