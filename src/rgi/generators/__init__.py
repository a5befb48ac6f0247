"""Latent codes to images: the interface, the families of networks, and the store.

A *family* is a module of this package with a function
``build(latent_dim, channels, resolution, **options) -> (generator, critic or None)``. Dropping such a module
here is all it takes to add one: the store finds it by the name in the card.
"""

import importlib
import pkgutil
from typing import Any

from torch import nn

from rgi.errors import InputError

__all__ = ["build", "families"]


def families() -> list[str]:
    """Names of the modules of this package that define a family."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    own = (module for module in modules if getattr(module, "build", None) is not None)
    return [module.__name__.rpartition(".")[2] for module in own if module.build.__module__ == module.__name__]


def build(family: str, **options: Any) -> tuple[nn.Module, nn.Module | None]:
    """Untrained ``(generator, critic or None)`` of a family.

    Raises:
        InputError: no such family, or an option the family does not know or accept.
    """
    if family not in families():
        raise InputError(f"unknown generator family {family!r}: one of {', '.join(families())}")
    try:
        return importlib.import_module(f"{__name__}.{family}").build(**options)
    except TypeError as error:
        raise InputError(f"generator family {family!r} cannot be built with {options}: {error}") from error
