"""Conversion of the authors' checkpoints: progressive GANs in the format of facebookresearch/pytorch_GAN_zoo.

A checkpoint is a pickle, which can run any code when it is loaded. PyTorch's restricted unpickler (``weights_only``)
accepts tensors, containers and registered classes only. The unpickler refuses all other names without an import.
"""

import io
import pickle
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgi.errors import InputError
from rgi.generators import progressive
from rgi.generators.store import GAN, Card, load_weights, save_gan

ALLOWED_GLOBALS = re.compile(
    r"models\.utils\.config\.BaseConfig|collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.\w+Storage"
)
# Damaged files make PyTorch's reader fail with many kinds of exceptions.
READ_ERRORS = (
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)
GENERATOR_NAMES = {
    "formatLayer": "format",
    "groupScale0.0": "base",
    "scaleLayers": "scales",
    "toRGBLayers": "to_image",
}
CRITIC_NAMES = {
    "fromRGBLayers": "from_image",
    "scaleLayers": "scales",
    "groupScaleZero.0": "conv",
    "groupScaleZero.1": "linear",
    "decisionLayer": "decision",
}


def convert(source: str | Path, target: str | Path, dataset: str | None = None) -> Path:
    """Convert a checkpoint of the authors to a safetensors file and a card.

    The function converts the averaged generator and the critic in float32. Names of tensors may lack ``.module.``, as
    in old files. Tensors may have been saved on a GPU.

    Args:
        source: path of the .pt or .pth file; other files of the checkpoint are not necessary.
        target: path of the safetensors file; the suffix is added if it is missing.
        dataset: name of the training dataset for the card.

    Returns:
        Path of the safetensors file.

    Raises:
        InputError: the file is missing or is not a checkpoint of a progressive GAN, the pickle has a name that is not
            allowed, or the training of the last scale is not finished.
    """
    source = Path(source)
    checkpoint = _read(source)
    config = _config(source, checkpoint["config"])
    generator_weights = _rename(source, "avgG", checkpoint["avgG"], GENERATOR_NAMES)
    critic_weights = _rename(source, "netD", checkpoint["netD"], CRITIC_NAMES)
    latent_dim, channels, widths = _sizes(source, generator_weights)
    if widths != [config["depthScale0"], *config["depthOtherScales"]]:
        raise InputError(f"{source}: avgG has {widths} channels, its config has other numbers; fetch the file anew")
    options = {"widths": widths, "slope": config["leakyReluLeak"]}
    resolution = 4 << (len(widths) - 1)
    generator, critic = progressive.build(latent_dim, channels, resolution, **options)
    load_weights(generator, generator_weights, f"{source}: avgG")
    load_weights(critic, critic_weights, f"{source}: netD")
    command = f"python run.py task=convert source={source} target={target}"
    card = Card("progressive", latent_dim, channels, resolution, options, dataset or "", command=command)
    return save_gan(GAN(generator, critic, None, card), target, torch.float32)


class BaseConfig:
    """Replacement for the authors' configuration class with the same full name; it has attributes only."""

    __module__ = "models.utils.config"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    wrong = f"{path}: is no checkpoint of a progressive GAN"
    try:
        with torch.serialization.safe_globals([BaseConfig]), path.open("rb") as file:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+) ", str(error))
        refused = match.group(1) if match else ", ".join(_foreign_globals(path))
        reason = f"names {refused}" if refused else "is damaged"
        raise InputError(f"{wrong}: its pickle {reason}; nothing of it was run; fetch it anew") from error
    except PermissionError:
        raise
    except READ_ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{wrong}, or incomplete ({reason}); fetch it anew") from error
    parts = {"config": BaseConfig, "avgG": dict, "netD": dict}
    entries = checkpoint if isinstance(checkpoint, dict) else {}
    missing = [name for name, kind in parts.items() if not isinstance(entries.get(name), kind)]
    if missing:
        raise InputError(f"{wrong}: it lacks {', '.join(missing)}; give the file named like celeba_s5_i96000.pt")
    return entries


def _foreign_globals(path: Path) -> list[str]:
    """Names that a pickle would import, except `ALLOWED_GLOBALS`; the pickle is read but not run.

    PyTorch names the refused import for pickle protocol 2 only.
    """
    names, strings = [], []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data = next((archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")), b"")
        else:
            data = path.read_bytes()
        stream = io.BytesIO(data)
        while stream.tell() < len(data):  # the old format has several pickles in a row, then raw numbers
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name in ("GLOBAL", "INST"):
                    names.append(argument.replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, zipfile.BadZipFile):
        pass  # end of the pickles
    return sorted({name for name in names if not ALLOWED_GLOBALS.fullmatch(name)})


def _config(path: Path, config: BaseConfig) -> dict[str, Any]:
    attributes = vars(config)
    numbers = ("alpha", "depthScale0", "leakyReluLeak")
    broken = [name for name in numbers if not isinstance(attributes.get(name), int | float)]
    if broken or not isinstance(attributes.get("depthOtherScales"), list):
        raise InputError(f"{path}: its config lacks {', '.join(broken) or 'depthOtherScales'}; fetch the file anew")
    if attributes["alpha"] != 0:
        raise InputError(
            f"{path}: alpha is {attributes['alpha']}, not 0: the last scale is not finished; use a later file"
        )
    for switch in ("perChannelNormalization", "equalizedlR"):
        if not attributes.get(switch, True):
            raise InputError(f"{path}: {switch} is off, which is not supported; use another checkpoint")
    return attributes


def _rename(path: Path, network: str, tensors: dict[str, Any], names: dict[str, str]) -> dict[str, Tensor]:
    """Tensors of a network under the names of `rgi.generators.progressive`."""
    renamed = {}
    for key, value in tensors.items():
        prefix = next((name for name in names if isinstance(key, str) and key.startswith(f"{name}.")), None)
        if prefix is None or not isinstance(value, Tensor):
            raise InputError(f"{path}: {network} holds {key!r}, which no progressive GAN has; use another checkpoint")
        renamed[names[prefix] + key.removeprefix(prefix).replace(".module.", ".")] = value
    return renamed


def _sizes(path: Path, weights: dict[str, Tensor]) -> tuple[int, int, list[int]]:
    """Latent dimension, channels, and feature maps per scale of a generator, from the shapes of its tensors."""
    try:
        latent_dim = weights["format.weight"].shape[1]
        scales = sum(name.startswith("to_image.") and name.endswith(".weight") for name in weights)
        shapes = [weights[f"to_image.{scale}.weight"].shape for scale in range(scales)]
        return latent_dim, shapes[0][0], [shape[1] for shape in shapes]
    except LookupError as error:
        raise InputError(f"{path}: avgG lacks a layer of a progressive GAN ({error}); fetch it anew") from error
