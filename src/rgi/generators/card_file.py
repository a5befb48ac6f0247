"""The file of a generator's card, and the hash that ties the card to the weights."""

import hashlib
import json
from pathlib import Path


def card_file(path: Path) -> Path:
    """The file of the card, beside the weights.

    New weights replace the old ones before their card does. If a process was killed in between, the complete card has
    still its temporary name.

    Args:
        path: path of the safetensors file.
    """
    part = path.with_suffix(".json.part")
    try:
        if json.loads(part.read_text())["sha256"] == sha256(path):
            return part
    except (OSError, ValueError):  # there is no such file, or its writer was killed
        pass
    return path.with_suffix(".json")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
