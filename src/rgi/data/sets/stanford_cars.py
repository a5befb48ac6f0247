"""Stanford Cars: 8,144 training photographs of cars, with a box around each car.

Krause, Stark, Deng, Fei-Fei, "3D Object Representations for Fine-Grained Categorization", 3dRR at ICCV 2013. The
authors' page (https://ai.stanford.edu/~jkrause/cars/car_dataset.html) is gone; `PAGE` says what is left. We know no
SHA-256 of an archive.
"""

import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from rgi.data.images import Box
from rgi.data.sets.clean_set import CleanSet
from rgi.errors import InputError

PAGE = "https://github.com/pytorch/vision/issues/7545"
ANNOTATIONS = "devkit/cars_train_annos.mat"


class StanfordCars(CleanSet):
    """The training photographs, in ``root/cars_train`` or in ``root`` itself.

    Where ``root/devkit/cars_train_annos.mat`` is, each is cropped to its car's box; where it is not, photographs are
    taken as they are. ``cars_test`` is left alone, so that the split does not depend on whether it is there: by
    position among the sorted names, each tenth photograph is for validation, the one before it for testing.
    """

    name = "stanford_cars"
    terms = "Stanford Cars, for research; cite Krause et al. 2013."
    page = PAGE
    subfolder = "cars_train"
    mixed_modes = True  # a few photographs are grey: 00057, 00266 and 01085 of the first 1,500

    def box(self, path: Path, size: tuple[int, int]) -> Box | None:
        """The car's box, or None without annotations.

        Raises:
            InputError: the annotations cannot be read, do not know the photograph, or are of another one.
        """
        if self._boxes is None:
            return None
        if path.name not in self._boxes:
            raise InputError(
                f"{path}: has no box in {self._annotations}; remove one of the two, or get both from {PAGE}"
            )
        left, top, right, bottom = self._boxes[path.name]
        inside = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
        # A box may reach a pixel or two beyond the border; one that is largely outside belongs to another picture.
        if _area(inside) < 0.9 * _area((left, top, right, bottom)) or _area(inside) == 0:
            raise InputError(
                f"{path}: is {size[0]}x{size[1]} pixels, but {self._annotations} has its car from ({left}, {top}) to "
                f"({right}, {bottom}); use it with the original photographs alone, or remove it"
            )
        return inside

    @property
    def _annotations(self) -> Path:
        return Path(self.root).expanduser() / ANNOTATIONS

    @cached_property
    def _boxes(self) -> dict[str, Box] | None:
        return read_boxes(self._annotations) if self._annotations.is_file() else None


def read_boxes(path: Path) -> dict[str, Box]:
    """Each car's (left, top, right, bottom) in pixels by the name of its file, of the devkit's MATLAB file.

    Raises:
        InputError: it is none.
    """
    try:
        rows = np.atleast_1d(loadmat(path, squeeze_me=True)["annotations"])
        corners = {str(row["fname"]): [int(row[f"bbox_{name}"]) for name in ("x1", "y1", "x2", "y2")] for row in rows}
    # What a damaged file raises depends on where the reader notices.
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, MatReadError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as the boxes of Stanford Cars ({reason}); copy it again from the devkit ({PAGE})"
        ) from error
    # MATLAB counts pixels from 1, and the second corner is the last pixel inside.
    return {name: (x1 - 1, y1 - 1, x2, y2) for name, (x1, y1, x2, y2) in corners.items()}


def _area(box: Box) -> float:
    left, top, right, bottom = box
    return max(right - left, 0) * max(bottom - top, 0)
