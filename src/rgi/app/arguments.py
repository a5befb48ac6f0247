"""The arguments of the command line before Hydra reads them: what Hydra would misunderstand is rewritten or refused."""

import re
import shlex
from importlib.util import find_spec
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from rgi.app import grid
from rgi.app.jobs import launch
from rgi.errors import InputError

ABSENT = ("experiment", "benchmark", "search")  # groups that are null unless the command line names a choice
OWN_PICTURES = "experiment=folder_rrgi"  # the method for input=..., unless an experiment is named
OPTIONAL = ("corruption", "baseline", "paper", "logger")  # groups that experiments choose, and that may be null
HYDRA = {  # options of Hydra that would do nothing here: the value that Lightning gives its processes, and the remedy
    "hydra.run.dir": (".", "set output_dir=..., the folder of the run"),
    "hydra.output_subdir": (None, "remove it; the folder of the run, output_dir=..., has the configuration"),
    "hydra.job.chdir": (False, "remove it, and set output_dir=..., the folder of the run"),
}
LAUNCHER = "hydra/launcher"  # group of Hydra; `launcher` is short for it
PLUGINS = {  # choices of this group, and the package that each needs; the extra `clusters` has both
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "slurm": "hydra_plugins.hydra_submitit_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
}
SWEEP = ("hydra.sweep.dir", "hydra.sweep.subdir")  # options of Hydra for the folders of a multirun


def prepare(arguments: list[str]) -> list[str]:
    """The arguments as Hydra must read them.

    ``group=null`` removes a group, as null in `conf/config.yaml` does; Hydra itself accepts null in files only. A
    leading ``~`` is put in quotes, because Hydra's grammar has another meaning for it. ``launcher`` is the group
    ``hydra/launcher``, which Hydra would not read from an experiment. ``input=...`` without an experiment has the
    method of `OWN_PICTURES`.

    Args:
        arguments: arguments of the command line.

    Raises:
        InputError: an argument is unknown, or has no effect here.
        OverrideParseException: an argument is not ``option=value``.
    """
    parser = get_args_parser()
    parser.error = _refuse  # argparse would print its usage
    given = parser.parse_intermixed_args(arguments)  # Hydra itself refuses options before flags
    if given.shell_completion:
        return arguments
    parsed = {argument: _parse(_of_hydra(argument)) for argument in given.overrides}
    for argument, override in parsed.items():
        _check_hydra(argument, override, given.multirun)
        if override.key_or_group == LAUNCHER:
            _check_launcher(argument, override, given.multirun or "task=benchmark" in parsed)
    rewritten = [_rewrite(argument, parsed[argument]) for argument in given.overrides]
    chosen = {override.key_or_group: override.value() for override in parsed.values()}
    if chosen.get("input") is not None and "experiment" not in chosen:
        rewritten.append(OWN_PICTURES)
    flags = [argument for argument in arguments if argument not in parsed]
    return [*flags, *(argument for argument in rewritten if argument is not None)]


def in_quotes(argument: str) -> str | None:
    """An argument with its value in quotes, for a shell; None if quotes do not help."""
    option, given, value = argument.partition("=")
    quoted = f"{option}={_quoted(value)}"
    try:
        OverridesParser.create().parse_overrides([quoted])
    except OverrideParseException:
        return None
    return shlex.quote(quoted) if given and option else None


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}; run `python run.py --hydra-help` to see all flags")


def _quoted(value: str) -> str:
    """A string of Hydra's grammar: it escapes quotes, and backslashes before them."""
    return '"' + re.sub(r'(\\*)("|$)', lambda end: end[1] * 2 + ('\\"' if end[2] else ""), value) + '"'


def _parse(argument: str) -> Override:
    option, _, value = argument.partition("=")
    if not re.search(r"[\"'\[{(]", value):  # a part in quotes or in brackets may have any meaning
        value = re.sub(r"(?<![^,])~[^,]*", lambda home: _quoted(home[0]), value)
    try:
        return OverridesParser.create().parse_overrides([f"{option}={value}" if value else argument])[0]
    except OverrideParseException as error:
        error.override = argument  # as it was typed
        raise


def _check_hydra(argument: str, override: Override, multirun: bool) -> None:
    """Refuse options of Hydra that would do nothing."""
    allowed, remedy = HYDRA.get(override.key_or_group, (None, ""))
    if remedy and override.value() != allowed:
        raise InputError(f"{argument}: is not supported; {remedy}")
    if override.key_or_group == "dry_run" and multirun:
        raise InputError(f"{argument}: a multirun has no plan; remove -m, and type one value of each option")
    if override.key_or_group in SWEEP and not multirun:
        raise InputError(f"{argument}: is the folder of a multirun, and there is no -m; set output_dir=... instead")


def _of_hydra(argument: str) -> str:
    """``launcher=x`` and ``launcher.option=x`` with Hydra's own names."""
    argument = re.sub(r"^(\+*)launcher=", rf"\1{LAUNCHER}=", argument)
    return re.sub(r"^(\+*)launcher\.", r"\1hydra.launcher.", argument)


def _check_launcher(argument: str, override: Override, several: bool) -> None:
    """Refuse a launcher that is not installed, or that would have nothing to launch."""
    plugin = PLUGINS.get(str(override.value()))
    if plugin is not None and (find_spec("hydra_plugins") is None or find_spec(plugin) is None):
        raise InputError(f"{argument}: is not installed; pip install 'robust-gan-inversion[clusters]'")
    if not several:
        raise InputError(f"{argument}: launches the jobs of -m or of task=benchmark; add one of them, or remove it")
    launch.refuse(argument, "start it as python run.py")


def _rewrite(argument: str, override: Override) -> str | None:
    """The argument for Hydra; None if Hydra needs none."""
    group = override.key_or_group
    groups = {path.name for path in grid.CONF.iterdir() if path.is_dir()}
    if not (group in groups or group.startswith("hydra/")):
        return override.input_line
    value = override.value()
    if override.is_delete() and group in groups.difference(OPTIONAL, ABSENT):
        raise InputError(f"{argument}: a run needs this group; remove this argument, or choose with {group}=...")
    if override.is_delete() and group not in ABSENT:
        return override.input_line
    if override.is_choice_sweep() and None in value.list:
        raise InputError(f"{argument}: null cannot be one of several values; type {group}=null in a run of its own")
    if value is None and group in ABSENT:
        return None
    if value is None and group in OPTIONAL:
        return f"~{override.get_key_element().lstrip('+')}"
    if isinstance(value, bool | int | float | None):
        return f"{override.get_key_element()}={_quoted(argument.partition('=')[2])}"  # Hydra lists all choices
    return override.input_line
