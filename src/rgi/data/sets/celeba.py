"""CelebA: 202,599 aligned photographs of faces.

Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015. The archive is ``img_align_celeba.zip``.
We do not know the SHA-256 of the archive.
"""

import re
from pathlib import Path
from typing import Any

from rgi.data.files import Channels, Resolution
from rgi.data.images import Box
from rgi.data.sets.clean_set import CleanSet, Parts, by_number
from rgi.errors import InputError
from rgi.validation import Count, Name, Switch, Text, checked

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
IMAGES, LAST_TRAIN, LAST_VALIDATION = 202_599, 162_770, 182_637  # numbers of images, from list_eval_partition.txt
SIZE = (178, 218)  # (width, height) of an aligned image
CROP = (25, 57, 153, 185)  # left, top, right, bottom: 128 x 128 pixels around column 89 and row 121


class CelebA(CleanSet):
    """The aligned images ``NNNNNN.jpg`` in ``root/img_align_celeba`` or in ``root``, in any size.

    The complete dataset has the published split by number: 1 to 162770 for training, 162771 to 182637 for validation,
    and 182638 to 202599 for testing. No person is in two parts.

    In an incomplete dataset, numbers that end in 9 are for testing, and numbers that end in 0 are for validation. One
    person may then be in two parts, in different photographs.

    Args:
        root: folder of the dataset.
        category: name of the category in tables and file names.
        resolution: height and width in pixels to which images are resized.
        channels: number of channels, 1 (grey) or 3 (RGB).
        crop: whether images are cropped to the face, as in the repository of progressive GAN: the square of 128 pixels
            around column 89 and row 121 of 178x218 pixels, scaled to the size of the image. Otherwise the whole image
            is resized without keeping its aspect ratio.
        test_images: number of test images, evenly spaced; None for all test images.
        shared: further options of `FileSet`.
    """

    name = "celeba"
    terms = "CelebA, non-commercial research only; cite Liu et al., ICCV 2015."
    page = PAGE
    subfolder = "img_align_celeba"

    @checked("dataset")
    def __init__(
        self,
        root: Text,
        category: Name,
        resolution: Resolution,
        channels: Channels,
        crop: Switch,
        test_images: Count | None,
        **shared: Any,
    ) -> None:
        super().__init__(root, category, resolution, channels, test_images, **shared)
        self.crop = crop

    def parts(self, files: list[Path]) -> Parts:
        """The published split of a complete dataset, otherwise the split by the last digit."""
        numbered = [(_number(path), path) for path in files]
        if len(files) < IMAGES:
            return by_number(numbered)
        return Parts(files[:LAST_TRAIN], files[LAST_TRAIN:LAST_VALIDATION], files[LAST_VALIDATION:])

    def box(self, path: Path, size: tuple[int, int]) -> Box | None:
        """The face's region; None with ``crop=False``.

        Raises:
            InputError: the aspect ratio differs from that of aligned images, so the position of the face is unknown.
        """
        if not self.crop:
            return None
        across, down = size[0] / SIZE[0], size[1] / SIZE[1]
        if abs(across / down - 1) > 0.03:  # rounding of the sides can cause this difference below about 50 pixels
            raise InputError(
                f"{path}: has {size[0]}x{size[1]} pixels, not the aspect ratio of aligned images "
                f"({SIZE[0]}x{SIZE[1]}); download the aligned images from {PAGE}, or set dataset.crop=false"
            )
        left, top, right, bottom = CROP
        return left * across, top * down, right * across, bottom * down


def _number(path: Path) -> int:
    name = path.stem
    number = int(name) if re.fullmatch("[0-9]{6}", name) else 0
    if not 1 <= number <= IMAGES:
        raise InputError(f"{path}: is not named like the images of CelebA, 000001.jpg to {IMAGES}.jpg; remove the file")
    return number
