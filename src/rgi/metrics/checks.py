"""What the metrics refuse, said in one line each."""

from torch import Tensor

from rgi.errors import InputError


def check_images(restored: Tensor, clean: Tensor) -> None:
    """Refuse anything but two (B,C,H,W) of the same shape.

    Raises:
        InputError: other shapes.
    """
    if restored.ndim != 4 or restored.shape != clean.shape:
        raise InputError(
            f"restored {tuple(restored.shape)} and clean {tuple(clean.shape)}: pass two (B,C,H,W) of the same shape"
        )


def check_map(anomaly_map: Tensor, mask: Tensor) -> None:
    """Refuse anything but a map (B,H,W) without NaN and a mask (B,1,H,W) of zeros and ones.

    Raises:
        InputError: other shapes or values.
    """
    if anomaly_map.ndim != 3 or mask.shape != (len(anomaly_map), 1, *anomaly_map.shape[1:]):
        raise InputError(
            f"anomaly_map {tuple(anomaly_map.shape)} and mask {tuple(mask.shape)}: pass (B,H,W) and (B,1,H,W)"
        )
    check_not_nan("anomaly_map", anomaly_map)
    check_binary("mask", mask)


def check_mask(name: str, mask: Tensor, images: Tensor) -> None:
    """Refuse anything but a mask (B,1,H,W) of zeros and ones that fits the images (B,C,H,W).

    Raises:
        InputError: other shapes or values.
    """
    if images.ndim != 4 or mask.shape != (len(images), 1, *images.shape[2:]):
        raise InputError(
            f"{name} {tuple(mask.shape)} and images {tuple(images.shape)}: pass (B,1,H,W) and (B,C,H,W) of one size"
        )
    check_binary(name, mask)


def check_non_negative(name: str, scores: Tensor) -> None:
    """Refuse scores that the bins cannot rank.

    Raises:
        InputError: a NaN, a negative score.
    """
    check_not_nan(name, scores)
    if (scores < 0).any():
        raise InputError(f"{name}: holds negative scores; pass absolute values or a map shifted to be >= 0")


def check_not_nan(name: str, score: Tensor) -> None:
    """Refuse scores that cannot be ranked.

    Raises:
        InputError: a NaN.
    """
    if score.isnan().any():
        raise InputError(f"{name}: holds NaN, which cannot be ranked; find out where the method failed")


def check_binary(name: str, truth: Tensor) -> None:
    """Refuse a truth that is neither yes nor no.

    Raises:
        InputError: a value other than 0 and 1.
    """
    if ((truth != 0) & (truth != 1)).any():
        raise InputError(f"{name}: holds values other than 0 and 1; threshold it first")
