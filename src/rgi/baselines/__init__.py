"""What a robust inversion is compared with: methods that learn from clean images alone and then look at one image.

A *baseline* is a module of this package with a subclass of `rgi.baselines.base.Baseline`, called by the module's name
("pca", "patchcore"). Dropping such a module here is all it takes to add one.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from rgi.errors import InputError

if TYPE_CHECKING:
    from rgi.baselines.base import Baseline

__all__ = ["baselines", "build"]


def baselines() -> "dict[str, type[Baseline]]":
    """The classes by name, alphabetically."""
    from rgi.baselines.base import Baseline

    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {
        module.__name__.rpartition(".")[2]: value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Baseline) and value.__module__ == module.__name__
        if value is not Baseline
    }


def build(name: str, **options: Any) -> "Baseline":
    """An unfitted baseline.

    Raises:
        InputError: no such baseline, or an option that it does not know or accept.
    """
    known = baselines()
    if name not in known:
        raise InputError(f"unknown baseline {name!r}: one of {', '.join(known)}")
    return known[name](**options)
