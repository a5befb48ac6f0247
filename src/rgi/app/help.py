"""The text of ``--help``: the experiments in families, and the choices of all other groups.

`conf/config.yaml` refers to both as ``${experiments:}`` and ``${groups:}``. They list what Hydra finds, so also the
files of a folder that ``--config-dir`` names.
"""

import re
import textwrap

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from rgi.app import arguments, grid

WIDTH = 120  # of the terminal
KINDS = {  # further families: beginning or ending of the names
    "train a generator (task=pretrain)": "_pretrain",
    "your own pictures": "folder_",
}
OTHERS = "others"
ELSEWHERE = ("hydra", "experiment", "sweep")  # folders that are no groups of options; conf/sweep is read by W&B


def register() -> None:
    """Register ``${experiments:}`` and ``${groups:}``; required before Hydra prints its help."""
    OmegaConf.register_new_resolver("experiments", experiments, replace=True)
    OmegaConf.register_new_resolver("groups", groups, replace=True)


def experiments() -> str:
    """All experiments in families: generated ones as patterns, and files with the first line of their comment."""
    loader = GlobalHydra.instance().config_loader()
    lines = []
    for family, patterns in grid.families().items():
        lines += [f"  {family}", *(f"      {pattern}" for pattern in patterns)]
    files = [name for name in loader.get_group_options("experiment") if name not in grid.grid()]
    for family, names in _by_kind(files).items():
        lines += [f"  {family}", *(f"      {name:<24} {_summary(loader, name)}" for name in names)]
    return "\n".join(lines)


def groups() -> str:
    """All other groups with their choices, one line each; a group in another one has a slash."""
    loader = GlobalHydra.instance().config_loader()
    found = []
    waiting = [name for name in loader.list_groups("") if name not in ELSEWHERE]
    while waiting:
        group = waiting.pop(0)
        waiting[:0] = [f"{group}/{inner}" for inner in loader.list_groups(group)]
        found.append((group, loader.get_group_options(group)))
    found.append(("launcher", loader.get_group_options(arguments.LAUNCHER)))
    lines = []
    for group, options in sorted(found):
        choices = f"{group + '=':<21} {', '.join(options)}"
        lines += textwrap.wrap(choices, WIDTH, initial_indent="  ", subsequent_indent=24 * " ", break_on_hyphens=False)
    return "\n".join(lines)


def _by_kind(names: list[str]) -> dict[str, list[str]]:
    """The names of each of `KINDS`, without empty ones."""
    found: dict[str, list[str]] = {kind: [] for kind in (*KINDS, OTHERS)}
    for name in names:
        kinds = (kind for kind, part in KINDS.items() if name.endswith(part) or name.startswith(part))
        found[next(kinds, OTHERS)].append(name)
    return {kind: inside for kind, inside in found.items() if inside}


def _summary(loader: ConfigLoader, name: str) -> str:
    """The first sentence of the comment at the beginning of an experiment's file."""
    path = f"experiment/{name}.yaml"
    for source in loader.get_search_path().get_path():
        folder = source.path.removeprefix("file://")
        try:
            with open(f"{folder}/{path}") as file:
                comments = [line.lstrip("# ").strip() for line in file if line.startswith("#")]
        except OSError:
            continue
        text = " ".join(line for line in comments if not line.startswith("@package"))
        return re.split(r"(?<!\.)\.( |$)", text)[0]
    return ""
