"""Storage in memory for results that are expensive and the same for all inversions with a GAN."""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from rgi.generators.store import GAN

_kept: WeakKeyDictionary[GAN, dict[str, tuple[tuple, Any]]] = WeakKeyDictionary()


def once_per_gan(gan: GAN, name: str, key: tuple, make: Callable[[], Any]) -> Any:
    """Call ``make`` once per GAN and key, and return the stored result afterwards.

    One result is stored per GAN and name. A call with another key replaces the result. The key includes the identity
    and the version of all weights, so ``make`` is called again after a change of the weights.

    Args:
        gan: GAN that the result belongs to; the result is deleted with the GAN.
        name: name of the result.
        key: all other values that the result depends on.
        make: function without arguments that computes the result.

    Returns:
        Result of ``make``.
    """
    state = gan.generator.state_dict(keep_vars=True).values()
    full = (*((tensor.data_ptr(), tensor._version) for tensor in state), *key)
    kept = _kept.setdefault(gan, {})
    if name not in kept or kept[name][0] != full:
        kept.pop(name, None)  # delete the old result first, because both may not fit into memory
        kept[name] = (full, make())
    return kept[name][1]
