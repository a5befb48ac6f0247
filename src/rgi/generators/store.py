"""Storage of a GAN on disk: a safetensors file with weights and a JSON card with the same stem."""

import dataclasses
import json
import logging
import math
import os
import re
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
from rgi.generators import places
from rgi.generators.card_file import card_file, sha256
from rgi.generators.encoder import Encoder

log = logging.getLogger(__name__)
ROLES = ("generator", "critic", "encoder")
NUMBERS = re.compile(r"\[\n([^][{}\"]*)\]")  # a list of numbers in indented JSON, which takes one line on a card


@dataclass(frozen=True)
class Card:
    """Description of a GAN: architecture, training and measured scores.

    Attributes:
        family: name of the family, see `rgi.generators`.
        latent_dim: dimension d of a latent code.
        channels: number of channels C of an image.
        resolution: height and width of an image in pixels.
        options: further arguments of the family's ``build``.
        dataset: name of the training dataset.
        category: category of the training dataset.
        terms: terms of use of the training data.
        training_data: fingerprint of the training files; empty if it is not known.
        patch: side in pixels of the square of a picture that a training image shows; 0 for whole pictures.
        steps: number of training steps.
        seed: seed of the training.
        command: command that made the file.
        encoder: options of the encoder; empty without an encoder.
        residuals: quantiles of abs(x - G(z)) over held-out clean images after least-squares inversion, in units of
            pixel values in [-1,1]; keys are levels as text, such as "0.99".
        residual_scale: scale by which these residuals were divided at each position, on a grid that covers the image,
            with mean 1; empty if they were not divided.
        defect_prior: factor on the automatic weight of |z|² with which painted defects show best in the residual.
        quality: scores of samples and held-out images by name of the metric.
        sha256: hash of the safetensors file.
    """

    family: str
    latent_dim: int
    channels: int
    resolution: int
    options: dict[str, Any] = field(default_factory=dict)
    dataset: str = ""
    category: str = ""
    terms: str = ""
    training_data: str = ""
    patch: int = 0
    steps: int = 0
    seed: int = 0
    command: str = ""
    encoder: dict[str, int] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    residual_scale: list[list[float]] = field(default_factory=list)
    defect_prior: float = 1.0
    quality: dict[str, float] = field(default_factory=dict)
    sha256: str = ""


@dataclass(eq=False)
class GAN:
    """A trained generator with its critic, encoder and card.

    All networks are in evaluation mode, and their parameters do not require gradients.

    Attributes:
        generator: network from latent codes (B,d) to images (B,C,H,W).
        critic: network from images to scores (B,); None for a GAN without critic.
        encoder: network from images to latent codes (B,d); None for a GAN without encoder.
        card: description of the GAN.
    """

    generator: nn.Module
    critic: nn.Module | None
    encoder: nn.Module | None
    card: Card

    def __post_init__(self) -> None:
        for module in self.modules().values():
            module.eval().requires_grad_(False)

    def modules(self) -> dict[str, nn.Module]:
        """Role, such as "generator", to network for all networks that are not None."""
        roles = ((role, getattr(self, role)) for role in ROLES)
        return {role: module for role, module in roles if module is not None}

    def to(self, *args: Any, **kwargs: Any) -> "GAN":
        """Move or cast all networks in place, with the arguments of `torch.nn.Module.to`."""
        for module in self.modules().values():
            module.to(*args, **kwargs)
        return self

    @property
    def device(self) -> torch.device:
        """Device of the generator's weights."""
        return next(iter(self.generator.state_dict().values())).device


def save_gan(gan: GAN, path: str | Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write weights and card of a GAN, under temporary names first: older files survive a kill and a full disk.

    Args:
        gan: GAN to write.
        path: path of the safetensors file; the suffix is added if it is missing.
        dtype: type of floating-point weights in the file.

    Returns:
        Path of the safetensors file.

    Raises:
        InputError: a file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(path.name + ".safetensors")  # with_suffix would replace the part of the name after a dot
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{role}.{name}": (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for role, module in gan.modules().items()
        for name, value in module.state_dict().items()
    }
    weights = path.with_suffix(".safetensors.part")
    try:
        save_file(tensors, weights)
        os.chmod(weights, 0o666 & ~_umask())  # safetensors makes files that only their owner can read
        card = _card_beside(dataclasses.replace(gan.card, sha256=sha256(weights)), path)
    except (OSError, SafetensorError) as error:
        weights.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error}); make room, or choose another path") from error
    os.replace(weights, path)
    os.replace(card, path.with_suffix(".json"))
    return path


def _umask() -> int:
    """The permissions that new files of this process lack; they can be read only by setting them."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_card(card: Card, path: Path) -> None:
    """Replace the card of a safetensors file.

    Args:
        card: new card with the ``sha256`` of the safetensors file.
        path: path of the safetensors file.
    """
    os.replace(_card_beside(card, path), path.with_suffix(".json"))


def _card_beside(card: Card, path: Path) -> Path:
    """Write the card under a temporary name; returns the temporary path."""
    part = path.with_suffix(".json.part")
    text = json.dumps(dataclasses.asdict(card), indent=2)
    part.write_text(NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")
    return part


def load_gan(source: str | Path) -> GAN:
    """Load a GAN from a safetensors file and its card.

    The function loads no pickle, checks the hash in the card, and logs the terms of use of the training data.

    Args:
        source: path of the safetensors file, or name of a shipped GAN such as "textures-brick-64".

    Returns:
        GAN on the CPU in float32.

    Raises:
        InputError: a file is missing, the hash does not match, the file is not a safetensors file, or the weights do
            not fit the card.
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
        for key in file.keys():  # noqa: SIM118, a safetensors file is not a dict
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
    """Copy weights into a network.

    Args:
        module: network that receives the weights.
        tensors: all weights of the network by name.
        owner: file and role of the network, for the beginning of a message.

    Raises:
        InputError: the weights do not fit the network, or have NaN or infinite values.
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
    """Path of the safetensors file that `load_gan` opens.

    Args:
        source: path of the file, or name of a GAN, see `rgi.generators.places.named`.

    Raises:
        InputError: there is no such file, or the file is not a safetensors file.
    """
    given = Path(source)
    others = places.named(str(source)) if given.parent == Path() else []
    path = next((file for file in (given, *others) if file.is_file()), None)
    if path is None:
        raise InputError(f"{source}: no such generator file")
    try:
        with safe_open(path, framework="pt"):
            return path
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); ask its owner for permission, or copy it") from error
    except SafetensorError as error:
        with path.open("rb") as file:
            head = file.read(2)
        # Checked after `safe_open`, because the first bytes of a valid safetensors file may be the same.
        if head[:1] == b"\x80" or head == b"PK":
            raise InputError(
                f"{path}: is a pickled checkpoint, which is never loaded; convert it first: "
                f"python run.py task=convert {shlex.quote(f'source={path}')} target={places.LOCAL}/NAME.safetensors"
            ) from error
        raise InputError(f"{path}: is not a safetensors file ({error}); copy or train it anew") from error


def read_card(path: Path) -> Card:
    """Read the card of a safetensors file.

    Args:
        path: path of the safetensors file.

    Raises:
        InputError: the card is missing, is not JSON, lacks a required field, or has a wrong value.
    """
    file = card_file(path)
    if not file.is_file():
        raise InputError(f"{file}: missing; copy this card to the folder of the generator")
    try:
        fields = json.loads(file.read_text())
        known = {f.name for f in dataclasses.fields(Card)}
        card = Card(**{name: value for name, value in fields.items() if name in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: is no generator card ({error}); copy or train it anew") from error
    sizes = (card.latent_dim, card.channels, card.resolution)
    if (
        not all(type(size) is int and size > 0 for size in sizes)
        or not (type(card.patch) is int and card.patch >= 0)
        or not isinstance(card.options, dict)
        or not isinstance(card.encoder, dict)
    ):
        raise InputError(f"{file}: sizes must be whole numbers from 1, options mappings; copy or train it anew")
    levels = card.residuals.values() if isinstance(card.residuals, dict) else [None]
    if not all(isinstance(level, int | float) and 0 <= level < math.inf for level in levels):
        raise InputError(f"{file}: residuals must be numbers of at least 0; copy or train it anew")
    if not _is_scale(card.residual_scale):
        raise InputError(
            f"{file}: residual_scale must be rows of numbers above 0, all equally long; copy or train it anew"
        )
    if not (isinstance(card.defect_prior, int | float) and 0 < card.defect_prior < math.inf):
        raise InputError(f"{file}: defect_prior must be a number above 0; copy or train it anew")
    return card


def _is_scale(rows: Any) -> bool:
    """Whether a value can be `Card.residual_scale`."""
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(rows[0]) > 0 for row in rows):
        return False
    return all(isinstance(value, int | float) and 0 < value < math.inf for row in rows for value in row)
