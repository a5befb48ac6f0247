"""What the measures of samples refuse, said in one line each."""

from torch import Tensor

from rgi.errors import InputError


def check_sets(**sets: Tensor) -> None:
    (first, example), *_ = sets.items()
    for name, images in sets.items():
        if images.ndim != 4 or images.shape[1:] != example.shape[1:] or not len(images):
            shapes = f"{first} {tuple(example.shape)} and {name} {tuple(images.shape)}"
            raise InputError(f"{shapes}: pass sets (N,C,H,W) of images of the same shape, one or more of each")
        if not images.isfinite().all():
            raise InputError(f"{name}: holds NaN or infinities; find out where the generator failed")


def check_features(real: Tensor, fake: Tensor, smallest: int) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < smallest:
        raise InputError(
            f"real_features {tuple(real.shape)} and fake_features {tuple(fake.shape)}:"
            f" pass (N,F) and (M,F) of at least {smallest} rows"
        )
    for name, features in (("real_features", real), ("fake_features", fake)):
        if not features.isfinite().all():
            raise InputError(f"{name}: holds NaN or infinities; find out where the generator failed")
