"""Listing image files below a folder, and pairing images with their masks."""

import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rgi.errors import InputError

log = logging.getLogger(__name__)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
GENERIC_NAMES = {"all", "data", "image", "images", "imgs", "root", "test", "testing", "tests"}  # of folders
RESULT_SUFFIXES = (".npz", ".png")  # of the files of results that are named after their image
READ_FILES = 64  # number of files whose bytes a fingerprint reads
LONGEST_NAME = 200  # bytes; most file systems allow 255, and names of results are longer than those of images


@dataclass(frozen=True)
class Sample:
    """One test image.

    Attributes:
        name: name of the image, unique in the dataset.
        image: image file.
        mask: mask file; None without a mask.
        good: whether the image is known to have no defect, so that its mask is zero everywhere.
    """

    name: str
    image: Path
    mask: Path | None = None
    good: bool = False


def expanded(path: str | Path) -> Path:
    """A path with the home folder for ``~``; the ``~`` of an unknown user stays, so that the path does not exist."""
    return Path(os.path.expanduser(path))


def folder_name(folder: str | Path) -> str:
    """Name of a set of images: that of its folder, with that of the parent before a generic one such as "test".

    Args:
        folder: folder of the images, which need not exist.
    """
    path = Path(os.path.abspath(os.path.expanduser(folder)))
    if path.name.lower() in GENERIC_NAMES and path.parent.name:
        return f"{path.parent.name}-{path.name}"
    return path.name


def folders_name(root: str | None, train: str | None) -> str:
    """Name of the user's own images: that of the folder of test images; without one, that of the clean images.

    Clean images alone have the name of the parent, too, because many folders of clean images are called "clean".

    Args:
        root: folder of test images.
        train: folder of clean images.
    """
    if root or not train:
        return folder_name(root or "folder")
    folder = Path(os.path.abspath(os.path.expanduser(train)))
    return "-".join(part for part in (folder.parent.name, folder.name) if part)


def named_split(category: str, split: str | None) -> str:
    """Name of a category in tables and file names: scores and generators of two splits must not meet under one name.

    Args:
        category: name of the category.
        split: name of the split of its images; None for the split of this project.
    """
    return category if split is None else f"{category}-{split}"


def files_fingerprint(files: Sequence[Path]) -> str:
    """Hash of a set of files that is the same for a copy elsewhere; empty without files.

    The hash depends on the names and sizes of all files, and on the bytes of `READ_FILES` of them.

    Args:
        files: files in a fixed order.
    """
    digest = hashlib.sha256()
    step = max(1, -(-len(files) // READ_FILES))
    for number, path in enumerate(files):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        if number % step == 0:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32] if files else ""


def images_by_stem(folder: str | Path, label: str) -> dict[str, Path]:
    """All images below a folder, except hidden files: a sorted map from path to file.

    The paths are relative to the folder and have no suffix. Links to folders are followed.

    Args:
        folder: folder with images, in subfolders or not.
        label: text for the folder in error messages, for example ``dataset.root=data``.

    Raises:
        InputError: the folder does not exist or has no images, a subfolder cannot be listed, a link leads to nothing,
            two files differ only in their suffix, or results could not be stored under the name of a file.
    """
    base = expanded(folder)
    if not base.is_dir():
        raise InputError(f"{label}: no such folder; correct the path")
    return named_by_stem(walk(base), base, label)


def named_by_stem(paths: Iterable[Path], base: Path, label: str) -> dict[str, Path]:
    """The images among files below a folder: a sorted map from path, without suffix and below the folder, to file.

    Args:
        paths: files below the folder.
        base: the folder.
        label: text for the files in error messages, for example ``dataset.root=data``.

    Raises:
        InputError: see `images_by_stem`.
    """
    files: dict[str, Path] = {}
    others = 0
    folder = inner = ""
    for path in paths:
        name = path.name
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in SUFFIXES:
            others += 1
            continue
        text = str(path)
        if not os.path.isfile(text):
            raise InputError(f"{path}: is a link to nothing, or no file; repair or remove it")
        # Text instead of paths, and each folder once: there may be millions of files.
        if not files or folder != text[: -len(name)]:
            folder = text[: -len(name)]
            _check_name(path)
            inner = "" if path.parent == base else f"{path.parent.relative_to(base).as_posix()}/"
        _check_name(path, name)
        other = files.setdefault(inner + stem, path)
        if other is not path:
            raise InputError(f"{path}: has the same name as {other.name}; rename or remove one of the two files")
    if not files:
        raise InputError(f"{label}: holds no images ({', '.join(SUFFIXES)}); correct the path or add images")
    _check_places(files)
    if others:
        log.info("%s: %d images; %d files of other kinds are left out", label, len(files), others)
    return dict(sorted(files.items()))


def walk(base: Path) -> Iterator[Path]:
    """All files below a folder, sorted, except hidden ones; links are followed, and no folder is entered twice."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); allow it, or move the folder away")

    entered: dict[str, Path] = {}
    for folder, folders, names in os.walk(base, followlinks=True, onerror=refuse):
        place = Path(folder)
        first = entered.setdefault(os.path.realpath(folder), place)
        if first != place:
            log.warning("%s: is the same folder as %s and is left out", place, first)
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (place / name for name in sorted(names) if not name.startswith("."))


def _check_name(path: Path, *parts: str) -> None:
    """Raise an error if results of this image could not be stored under its name.

    Args:
        path: path of the image or of a folder.
        parts: parts of the path to check; without these, all.
    """
    for part in parts or path.parts:
        try:
            length = len(part.encode())
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode(errors="backslashreplace")
            raise InputError(f"{shown}: has a name that is no UTF-8; rename the file") from None
        if length > LONGEST_NAME:
            raise InputError(f"{path}: has a name of {length} bytes; rename the file, {LONGEST_NAME} are possible")


def _check_places(files: Mapping[str, Path]) -> None:
    """Raise an error if a file of results would have the place of a folder: those of ``a.jpg`` and ``a.png/b.jpg``."""
    homes = {stem.rpartition("/")[0] for stem in files}
    folders = homes.union(*({*map(str, PurePosixPath(home).parents)} for home in homes))
    for folder in map(PurePosixPath, folders):
        if folder.suffix in RESULT_SUFFIXES and (same := files.get(str(folder.with_suffix("")))):
            raise InputError(f"{same}: its results would have the name of the folder {folder}; rename one of the two")


def pair_with_masks(images: Mapping[str, Path], masks: Mapping[str, Path], good: Collection[str] = ()) -> list[Sample]:
    """Pair images with the masks of the same names; returns the samples in the order of the images.

    Args:
        images: image files by name.
        masks: mask files by name.
        good: names of images without defects, which need no mask.

    Raises:
        InputError: an image has no mask, or a mask has no image.
    """
    for name in images:
        if name not in masks and name not in good:
            raise InputError(
                f"{images[name]}: has no mask; add a mask with the same name ({name}) to the folder of masks; the mask "
                "of a clean image is black"
            )
    for name in masks:
        if name not in images:
            raise InputError(f"{masks[name]}: is a mask without image; add the image {name} or remove the mask")
    return [Sample(name, path, masks.get(name), good=name in good) for name, path in images.items()]
