"""Things computed once per GAN: the images of its pool, the basis of its latent space."""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from rgi.generators.store import GAN

_kept: WeakKeyDictionary[GAN, dict[str, tuple[tuple, Any]]] = WeakKeyDictionary()


def once_per_gan(gan: GAN, name: str, key: tuple, make: Callable[[], Any]) -> Any:
    """``make()``, or what it returned last time for the same name, key and weights.

    One value is kept per name. The identity and version of every weight belong to the key, so that a generator that was
    changed in place is evaluated anew.
    """
    state = gan.generator.state_dict(keep_vars=True).values()
    full = (*((tensor.data_ptr(), tensor._version) for tensor in state), *key)
    kept = _kept.setdefault(gan, {})
    if name not in kept or kept[name][0] != full:
        kept.pop(name, None)  # the old value goes before the new one comes: it may be large
        kept[name] = (full, make())
    return kept[name][1]
