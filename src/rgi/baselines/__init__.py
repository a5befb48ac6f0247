"""Baselines: methods that learn from clean images and then restore or score single images.

A baseline is a module of this package with one subclass of `rgi.baselines.base.Baseline`. The name of the module is the
name of the baseline, for example "pca". To add a baseline, add a module.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from rgi.errors import InputError

if TYPE_CHECKING:
    from rgi.baselines.base import Baseline

__all__ = ["baselines", "build"]


def baselines() -> "dict[str, type[Baseline]]":
    """All baselines: a map from name to class, sorted by name."""
    from rgi.baselines.base import Baseline

    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {
        module.__name__.rpartition(".")[2]: value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Baseline) and value.__module__ == module.__name__
        if value is not Baseline
    }


def build(name: str, **options: Any) -> "Baseline":
    """Make a baseline that is not fitted yet.

    Args:
        name: name of the baseline.
        options: arguments of the baseline's constructor.

    Raises:
        InputError: the name or an option is unknown, or an option is out of range.
    """
    classes = baselines()
    if name not in classes:
        raise InputError(f"unknown baseline {name!r}: use one of {', '.join(classes)}")
    return classes[name](**options)
