"""CelebA: 202,599 photographs of faces, aligned.

Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015. The archive is ``img_align_celeba.zip``;
we know no SHA-256 of it.
"""

import re
from pathlib import Path

from rgi.data.files import Channels, Resolution
from rgi.data.images import Box
from rgi.data.sets.clean_set import CleanSet, Parts, by_number
from rgi.errors import InputError
from rgi.validation import Count, Name, Switch, Text, checked

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
IMAGES, LAST_TRAIN, LAST_VALIDATION = 202_599, 162_770, 182_637  # as list_eval_partition.txt says
SIZE = (178, 218)  # (width, height) of an aligned image
CROP = (25, 57, 153, 185)  # 128 pixels square, around column 89 and row 121


class CelebA(CleanSet):
    """The aligned images ``NNNNNN.jpg``, in ``root/img_align_celeba`` or in ``root`` itself, of any size.

    The complete set is split as published, by number: 1 to 162770 for training, to 182637 for validation, to 202599 for
    testing; nobody is in two parts. Of an incomplete one, numbers that end in 9 are for testing, in 0 for validation;
    then a person may well be in two parts, in different photographs.

    Args:
        root: the folder of the set.
        category: what to call the set.
        resolution: pixels of the square that images are resized to.
        channels: 1 (grey) or 3 (RGB).
        crop: take the face alone, as the repository of progressive GAN does: the square of 128 pixels around column 89
            and row 121 of the 178x218, in proportion where the images are of another size. False takes all of the
            picture, its aspect not kept.
        test_images: test on so many, spread evenly over all test images; None takes all.
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
    ) -> None:
        super().__init__(root, category, resolution, channels, test_images)
        self.crop = crop

    def parts(self, files: list[Path]) -> Parts:
        """As published if the set is complete, else by the last digit of the number."""
        numbered = [(_number(path), path) for path in files]
        if len(files) < IMAGES:
            return by_number(numbered)
        return Parts(files[:LAST_TRAIN], files[LAST_TRAIN:LAST_VALIDATION], files[LAST_VALIDATION:])

    def box(self, path: Path, size: tuple[int, int]) -> Box | None:
        """The face, or None for all of the picture.

        Raises:
            InputError: the picture has not the proportions of an aligned one, so that the face is elsewhere.
        """
        if not self.crop:
            return None
        across, down = size[0] / SIZE[0], size[1] / SIZE[1]
        if abs(across / down - 1) > 0.03:  # sides rounded to whole pixels differ that much from about 50 pixels down
            raise InputError(
                f"{path}: is {size[0]}x{size[1]} pixels, not in the proportions of an aligned image "
                f"({SIZE[0]}x{SIZE[1]}); get those from {PAGE}, or set dataset.crop=false"
            )
        left, top, right, bottom = CROP
        return left * across, top * down, right * across, bottom * down


def _number(path: Path) -> int:
    name = path.stem
    number = int(name) if re.fullmatch("[0-9]{6}", name) else 0
    if not 1 <= number <= IMAGES:
        raise InputError(f"{path}: is not named as CelebA's images are, 000001.jpg to {IMAGES}.jpg; remove it")
    return number
