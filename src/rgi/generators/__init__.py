"""Generators: families of networks, their storage on disk, and the conversion of checkpoints.

A *family* is a module of this package with a function
``build(latent_dim, channels, resolution, **options) -> (generator, critic or None)``. A new module with this function
is a new family; no registration is necessary. The card of a GAN holds the name of its family.
"""

import importlib
import pkgutil
from typing import Any

from torch import nn

from rgi.errors import InputError

__all__ = ["build", "families"]


def families() -> list[str]:
    """Names of all families."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    own = (module for module in modules if getattr(module, "build", None) is not None)
    return [module.__name__.rpartition(".")[2] for module in own if module.build.__module__ == module.__name__]


def build(family: str, **options: Any) -> tuple[nn.Module, nn.Module | None]:
    """Build the untrained networks of a family.

    Args:
        family: name of the family.
        options: arguments of the family's ``build``: latent_dim, channels, resolution and others.

    Returns:
        Generator and critic; the critic is None for a family without one.

    Raises:
        InputError: the family or an option is unknown, or the value of an option is wrong.
    """
    if family not in families():
        raise InputError(f"unknown generator family {family!r}: one of {', '.join(families())}")
    try:
        return importlib.import_module(f"{__name__}.{family}").build(**options)
    except TypeError as error:
        raise InputError(f"generator family {family!r} cannot be built with {options}: {error}") from error
