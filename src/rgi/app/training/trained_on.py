"""Whether a generator was trained on the images of a dataset."""

import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.files import FileSet
from rgi.data.listing import files_fingerprint
from rgi.data.protocol import ImageSet
from rgi.data.sets.folder import Folder
from rgi.errors import InputError
from rgi.generators import places
from rgi.generators.store import Card

log = logging.getLogger(__name__)


def training_data(images: ImageSet) -> str:
    """Fingerprint of the dataset's training files; empty without training files."""
    images = images.images if isinstance(images, CorruptedSet) else images
    return files_fingerprint(images.training_files()) if isinstance(images, FileSet) else ""


def check_training_data(cfg: DictConfig, card: Card, path: Path, images: ImageSet) -> None:
    """Raise an error if the generator was trained on other images than those of the dataset."""
    if OmegaConf.select(cfg, "generator.other_data", default=False) is True:
        return
    if card.dataset and not _same_scale(card, images):
        remedy = f"set dataset.patch={card.patch or 'null'}, " if card.patch in (0, card.resolution) else ""
        raise InputError(
            f"generator.path={path}: was trained on {_scale(card.patch)}, but the images here are "
            f"{_scale(images.patch)}; {remedy}name another generator, or add generator.other_data=true"
        )
    own = training_data(images)
    if own and card.training_data and own != card.training_data:
        raise InputError(
            f"generator.path={path}: was trained on other images than the training images of this dataset; name the "
            "dataset's own generator, or add generator.other_data=true"
        )
    if own and not card.training_data and isinstance(images, Folder) and not places.is_shipped(path):
        log.warning("%s: does not say which images it was trained on; are they those of this dataset?", path)


def same_images(card: Card, images: ImageSet) -> bool:
    """Whether a generator may be trained further on the images of a dataset."""
    return card.training_data in ("", training_data(images)) and _same_scale(card, images)


def _same_scale(card: Card, images: ImageSet) -> bool:
    """Whether a generator's images show as much of a picture as those of a dataset; of textures, only patches exist."""
    return not isinstance(images, FileSet | CorruptedSet) or card.patch == images.patch


def _scale(patch: int) -> str:
    return f"patches of {patch} pixels" if patch else "whole pictures"
