"""A trained GAN on disk: one safetensors file with the weights, one JSON card beside it."""

import dataclasses
import hashlib
import json
import logging
import math
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from rgi.errors import InputError
from rgi.generators import build as build_family  # a module with a `build` would be a family
from rgi.generators.encoder import Encoder

log = logging.getLogger(__name__)
SHIPPED = Path(__file__).parents[3] / "data" / "generators"
ROLES = ("generator", "critic", "encoder")


@dataclass(frozen=True)
class Card:
    """What a GAN is, where it comes from, and how well it explains clean images.

    ``family`` and ``options`` rebuild the networks, ``encoder`` the encoder, if there is one. ``residuals`` holds
    quantiles of abs(x - G(z)), in image units ([-1, 1]), over held-out clean images after plain inversion, keyed by the
    level as text ("0.99"); ``quality`` what was measured of samples and held-out images, by the metric's name.
    """

    family: str
    latent_dim: int
    channels: int
    resolution: int
    options: dict[str, Any] = field(default_factory=dict)
    dataset: str = ""
    category: str = ""
    terms: str = ""
    steps: int = 0
    seed: int = 0
    command: str = ""
    encoder: dict[str, int] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    sha256: str = ""


@dataclass(eq=False)
class GAN:
    """A generator z (B,d) -> image (B,C,H,W), its critic image -> score (B,), its encoder image -> z, its card.

    All modules are in eval mode, float32 unless cast, and their parameters do not require gradients.
    """

    generator: nn.Module
    critic: nn.Module | None
    encoder: nn.Module | None
    card: Card

    def __post_init__(self) -> None:
        for module in self.modules().values():
            module.eval().requires_grad_(False)

    def modules(self) -> dict[str, nn.Module]:
        """The networks that exist, by role."""
        roles = ((role, getattr(self, role)) for role in ROLES)
        return {role: module for role, module in roles if module is not None}

    def to(self, *args: Any, **kwargs: Any) -> "GAN":
        """Move or cast the networks in place, as `torch.nn.Module.to`."""
        for module in self.modules().values():
            module.to(*args, **kwargs)
        return self

    @property
    def device(self) -> torch.device:
        return next(iter(self.generator.state_dict().values())).device


def save_gan(gan: GAN, path: str | Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write weights (floating tensors as ``dtype``) and card; returns the path of the safetensors file.

    Both files are written beside their targets first and then moved, so that an interruption or a full disk
    leaves the previous ones.

    Raises:
        InputError: they cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(path.name + ".safetensors")  # a name may hold a dot: with_suffix would cut there
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{role}.{name}": (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for role, module in gan.modules().items()
        for name, value in module.state_dict().items()
    }
    weights = path.with_suffix(".safetensors.part")
    try:
        save_file(tensors, weights)
        card = _card_beside(dataclasses.replace(gan.card, sha256=sha256(weights)), path)
    except (OSError, SafetensorError) as error:
        weights.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error}); make room, or name another place") from error
    os.replace(weights, path)
    os.replace(card, path.with_suffix(".json"))
    return path


def write_card(card: Card, path: Path) -> None:
    """Write the card of the safetensors file ``path``, which it must vouch for."""
    os.replace(_card_beside(card, path), path.with_suffix(".json"))


def _card_beside(card: Card, path: Path) -> Path:
    """The card in full, not yet under its name."""
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(dataclasses.asdict(card), indent=2) + "\n")
    return part


def load_gan(source: str | Path) -> GAN:
    """Load a GAN from a safetensors file, or a shipped one by its name (``"textures-brick-64"``).

    The terms under which its training data came are logged.

    The card of the same stem must be there and its hash must match. Nothing is unpickled. The
    networks come back on the CPU in float32.

    Raises:
        InputError: missing file or card, a hash that does not match, a file that is no safetensors file, or
            weights that do not fit the card.
    """
    path = find_gan(source)
    card = read_card(path)
    if sha256(path) != card.sha256:
        raise InputError(
            f"{path}: does not match the sha256 in {path.with_suffix('.json').name}; "
            "the file was edited or is incomplete: copy both files again, or train anew"
        )
    tensors: dict[str, dict[str, torch.Tensor]] = {role: {} for role in ROLES}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118, a safetensors handle is no mapping
            role, _, name = key.partition(".")
            if role not in tensors:
                raise InputError(f"{path}: unexpected tensor {key!r}; roles are {', '.join(ROLES)}")
            tensors[role][name] = file.get_tensor(key)
    sizes = {"latent_dim": card.latent_dim, "channels": card.channels, "resolution": card.resolution}
    try:
        generator, critic = build_family(card.family, **sizes, **card.options)
        encoder = Encoder(**sizes, **card.encoder) if tensors["encoder"] else None
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        file = path.with_suffix(".json")
        raise InputError(f"{file}: describes no network ({error}); copy or train both files anew") from error
    gan = GAN(generator, critic if tensors["critic"] else None, encoder, card)
    for role, module in gan.modules().items():
        load_weights(module, tensors[role], f"{path}: the {role}")
    log.info("%s: %s", path, card.terms or "the terms of its training data are not recorded")
    return gan


def load_weights(module: nn.Module, tensors: dict[str, torch.Tensor], owner: str) -> None:
    """Copy all weights of a network into it.

    Raises:
        InputError: they do not fit, or hold NaN or infinite values; the message begins with ``owner``.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{owner}'s weights do not fit its architecture: {reason}; train or fetch it anew") from error
    for name, value in module.state_dict().items():
        if not torch.isfinite(value).all():
            raise InputError(f"{owner}'s {name} holds NaN or infinite values; train or fetch it anew")


def find_gan(source: str | Path) -> Path:
    """The safetensors file that `load_gan` would open.

    Raises:
        InputError: there is none, or the file is something else (a pickle is named as such).
    """
    given = Path(source)
    candidates = [given, *(folder / f"{source}.safetensors" for folder in (Path("data/generators"), SHIPPED))]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise InputError(f"{source}: no such generator file")
    try:
        with safe_open(path, framework="pt"):
            return path
    except SafetensorError as error:
        with path.open("rb") as file:
            head = file.read(2)
        # Only now: the length that opens a safetensors file may well begin with the same bytes.
        if head[:1] == b"\x80" or head == b"PK":
            raise InputError(
                f"{path}: is a pickled checkpoint, which is never loaded; convert it first: "
                f"python run.py task=convert {shlex.quote(f'source={path}')} target=data/generators/NAME.safetensors"
            ) from error
        raise InputError(f"{path}: is not a safetensors file ({error}); copy or train it anew") from error


def read_card(path: Path) -> Card:
    """The card beside a safetensors file.

    Raises:
        InputError: it is missing, no JSON, or lacks a required field.
    """
    file = path.with_suffix(".json")
    if not file.is_file():
        raise InputError(f"{file}: missing; a generator needs its card of the same stem beside it")
    try:
        fields = json.loads(file.read_text())
        known = {f.name for f in dataclasses.fields(Card)}
        card = Card(**{name: value for name, value in fields.items() if name in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: is no generator card ({error}); copy or train it anew") from error
    sizes = (card.latent_dim, card.channels, card.resolution)
    if (
        not all(type(size) is int and size > 0 for size in sizes)
        or not isinstance(card.options, dict)
        or not isinstance(card.encoder, dict)
    ):
        raise InputError(f"{file}: sizes must be whole numbers from 1, options mappings; copy or train it anew")
    levels = card.residuals.values() if isinstance(card.residuals, dict) else [None]
    if not all(isinstance(level, int | float) and 0 <= level < math.inf for level in levels):
        raise InputError(f"{file}: residuals must be numbers of at least 0; copy or train it anew")
    return card


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
