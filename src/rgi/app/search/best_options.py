"""The experiment file with the best options of a search, and the command that runs it."""

import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

from rgi.app import grid

# Options of the search itself, and of how a run is done rather than what it computes.
LEFT_OUT = ("task", "search", "output_dir", "debug", "experiment", "logger", "trainer", "batch_size", "hydra")


def experiment(typed_options: list[str], found: dict[str, Any], notes: list[str]) -> str:
    """The text of an experiment file: the searched experiment, what was typed with it, and the options found.

    Args:
        typed_options: arguments of the search.
        found: values of the searched options by name.
        notes: comments at the top, each of one line.
    """
    groups = {path.name for path in grid.CONF.iterdir() if path.is_dir()}
    defaults: list[Any] = []
    content: dict[str, Any] = {}
    for override in OverridesParser.create().parse_overrides(list(typed_options)):
        name = override.key_or_group
        if name == "experiment" and override.value():
            defaults.insert(0, str(override.value()))
        if name.partition(".")[0] in LEFT_OUT:
            continue
        if name in groups:
            defaults.append({f"override /{name}": None if override.is_delete() else override.value()})
        else:
            _put(content, name, override.value())
    for name, value in found.items():
        _put(content, name, value)
    head = "".join(f"# {line}\n" for note in notes for line in textwrap.wrap(note, 100, break_on_hyphens=False))
    # Hydra's own strings carry their quotes with them, so they are converted to plain ones.
    body = yaml.safe_dump(_plain({"defaults": [*defaults, "_self_"], **content}), sort_keys=False, allow_unicode=True)
    return f"# @package _global_\n{head}{body}"


def command(folder: Path) -> str:
    """The command that runs the experiment file of a search; it names the user's own folders of configuration, too.

    Args:
        folder: folder of the search.
    """
    program = Path(sys.argv[0])
    start = ["python", program.name] if program.suffix == ".py" else ["rgi"]
    sources = HydraConfig.get().runtime.config_sources
    own = [f"file://{source.path}" for source in sources if source.schema == "file" and source.provider != "main"]
    search_path = [f"hydra.searchpath=[{','.join(own)}]"] if own else []
    return shlex.join([*start, "--config-dir", str(folder), "experiment=best", *search_path])


def _put(content: dict[str, Any], name: str, value: Any) -> None:
    """Set a nested value by its name with dots."""
    *path, last = name.split(".")
    for part in path:
        content = content.setdefault(part, {})
    content[last] = value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return value.text if hasattr(value, "text") else str(value)
