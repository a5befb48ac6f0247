"""Checks of the inputs of generator metrics."""

from torch import Tensor

from rgi.errors import InputError


def check_sets(**sets: Tensor) -> None:
    """Check that all sets of images have the same image shape and finite values.

    Args:
        sets: sets of images (N,C,H,W) by name; N may differ.

    Raises:
        InputError: a set is empty, the shapes do not fit, or a value is NaN or infinite.
    """
    (first, example), *_ = sets.items()
    for name, images in sets.items():
        if images.ndim != 4 or images.shape[1:] != example.shape[1:] or not len(images):
            shapes = f"{first} {tuple(example.shape)} and {name} {tuple(images.shape)}"
            raise InputError(f"{shapes}: pass non-empty sets (N,C,H,W) of images of the same shape")
        if not images.isfinite().all():
            raise InputError(f"{name}: holds NaN or infinities; check the output of the generator")


def check_features(real: Tensor, fake: Tensor, min_rows: int) -> None:
    """Check that two sets of features have the same number of columns and finite values.

    Args:
        real: features of real images (N,F).
        fake: features of generated images (M,F).
        min_rows: lowest allowed N and M.

    Raises:
        InputError: the shapes do not fit, a set has too few rows, or a value is NaN or infinite.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < min_rows:
        raise InputError(
            f"real_features {tuple(real.shape)} and fake_features {tuple(fake.shape)}:"
            f" pass (N,F) and (M,F) of at least {min_rows} rows"
        )
    for name, features in (("real_features", real), ("fake_features", fake)):
        if not features.isfinite().all():
            raise InputError(f"{name}: holds NaN or infinities; check the output of the network")
