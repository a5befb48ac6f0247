"""What W&B stored of an offline run."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record


def records(file: Path) -> Iterator[Record]:
    """The records of W&B's offline file: a log of LevelDB's format, blocks of 32 KiB behind a header of 7 bytes."""
    content, position, parts = file.read_bytes(), 7, []
    while position < len(content):
        room = 2**15 - position % 2**15
        if room < 7:  # too little for a record's header
            position += room
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts.append(content[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(b"".join(parts))
            parts = []


def logged(file: Path) -> dict[str, Any]:
    """What W&B holds of a run: the run itself, its configuration, history and summary, its table's files, artifacts."""
    found: dict[str, Any] = {"config": {}, "summary": {}, "history": [], "artifacts": {}}
    for record in records(file):
        if record.HasField("run"):
            found["run"] = record.run
            found["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        if record.HasField("config"):  # an addition after the start
            found["config"] |= {item.key: json.loads(item.value_json) for item in record.config.update}
        if record.HasField("summary"):
            for item in record.summary.update:
                key = "/".join([item.key] if item.key else item.nested_key)
                found["summary"][key] = json.loads(item.value_json)
        if record.HasField("history"):
            keys = (("/".join([item.key] if item.key else item.nested_key), item) for item in record.history.item)
            found["history"].append({key: json.loads(item.value_json) for key, item in keys})
        if record.HasField("artifact"):
            found["artifacts"][record.artifact.type] = record.artifact
        if record.HasField("artifact") and record.artifact.type == "run_table":
            found["files"] = {entry.path: Path(entry.local_path) for entry in record.artifact.manifest.contents}
    return found
