"""Robust GAN inversion: mask-free inpainting and unsupervised pixel-wise anomaly detection (Mou et al., ICLR 2023)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rgi.generators.store import load_gan
    from rgi.inversion.config import SolverConfig
    from rgi.inversion.solver import invert

__all__ = ["SolverConfig", "invert", "load_gan"]
_HOMES = {"SolverConfig": "rgi.inversion.config", "invert": "rgi.inversion.solver", "load_gan": "rgi.generators.store"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: the command line answers ``--help`` without loading torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rgi' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
