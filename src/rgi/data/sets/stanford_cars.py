"""Stanford Cars: 8,144 training photographs of cars with a box around each car.

Krause, Stark, Deng, Fei-Fei, "3D Object Representations for Fine-Grained Categorization", 3dRR at ICCV 2013. The
authors' page (https://ai.stanford.edu/~jkrause/cars/car_dataset.html) no longer exists; `PAGE` lists other sources. We
do not know the SHA-256 of an archive.
"""

import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from rgi.data.images import Box
from rgi.data.listing import expanded
from rgi.data.sets.clean_set import CleanSet
from rgi.errors import InputError

PAGE = "https://github.com/pytorch/vision/issues/7545"
ANNOTATIONS = "devkit/cars_train_annos.mat"


class StanfordCars(CleanSet):
    """The training photographs in ``root/cars_train`` or in ``root``.

    With the file ``root/devkit/cars_train_annos.mat``, each photograph is cropped to the box of its car. Without this
    file, the whole photographs are used.

    In the sorted list of names, every tenth photograph is for validation, and the photograph before it is for testing.
    The folder ``cars_test`` is not used, so the split does not depend on it.
    """

    name = "stanford_cars"
    terms = "Stanford Cars, for research; cite Krause et al. 2013."
    page = PAGE
    subfolder = "cars_train"
    mixed_modes = True  # a few photographs are grey, for example 00057, 00266 and 01085

    def box(self, path: Path, size: tuple[int, int]) -> Box | None:
        """The box of the car; None without annotations.

        Raises:
            InputError: the annotations cannot be read, or do not fit the photograph.
        """
        if self._boxes is None:
            return None
        if path.name not in self._boxes:
            raise InputError(
                f"{path}: has no box in {self._annotations}; remove one of the two files, or get both from {PAGE}"
            )
        left, top, right, bottom = self._boxes[path.name]
        inside = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
        # Boxes may extend a few pixels beyond the border. A box that is largely outside belongs to another image.
        if _area(inside) < 0.9 * _area((left, top, right, bottom)) or _area(inside) == 0:
            raise InputError(
                f"{path}: has {size[0]}x{size[1]} pixels, but the car in {self._annotations} is at ({left}, {top}) to "
                f"({right}, {bottom}); use the original photographs, or remove the annotations"
            )
        return inside

    @property
    def _annotations(self) -> Path:
        return expanded(self.root) / ANNOTATIONS

    @cached_property
    def _boxes(self) -> dict[str, Box] | None:
        return read_boxes(self._annotations) if self._annotations.is_file() else None


def read_boxes(path: Path) -> dict[str, Box]:
    """Read the boxes (left, top, right, bottom) of all cars in pixels, by file name, from the devkit.

    Args:
        path: MATLAB file ``cars_train_annos.mat``.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        rows = np.atleast_1d(loadmat(path, squeeze_me=True)["annotations"])
        corners = {str(row["fname"]): [int(row[f"bbox_{name}"]) for name in ("x1", "y1", "x2", "y2")] for row in rows}
    except PermissionError:
        raise
    # The type of the exception depends on the position of the damage.
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, MatReadError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: has no readable boxes of Stanford Cars ({reason}); copy the file again from the devkit ({PAGE})"
        ) from error
    # MATLAB counts pixels from 1, and the second corner belongs to the box.
    return {name: (x1 - 1, y1 - 1, x2, y2) for name, (x1, y1, x2, y2) in corners.items()}


def _area(box: Box) -> float:
    left, top, right, bottom = box
    return max(right - left, 0) * max(bottom - top, 0)
