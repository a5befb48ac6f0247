"""A histogram grid of six million bins for non-negative float32 scores of any scale.

The bit patterns of non-negative floats, read as integers, have the same order as the floats. A bin is a bit pattern
without the last 6 bits of the mantissa. Each octave has 2^17 bins, and the relative width of a bin is at most 2^-17.
The grid covers the octaves from 2^-40 to 2^8. Bin 0 holds zero only, because zero is the most frequent score.
"""

import torch
from torch import Tensor

DROPPED_BITS = 6
MANTISSA_BITS, EXPONENT_BIAS = 23, 127
OCTAVES = range(-40, 8)  # a smoothed mask has tails as small as 2^-40, and their pixels are ranked, too
POSITIVE_BINS = len(OCTAVES) << (MANTISSA_BITS - DROPPED_BITS)
BINS = 1 + POSITIVE_BINS
FIRST = (EXPONENT_BIAS + OCTAVES.start) << (MANTISSA_BITS - DROPPED_BITS)


def default_state(value: float, dtype: torch.dtype) -> Tensor:
    """Default value (BINS,) of a metric's state, expanded from one number.

    torchmetrics stores a default for each state. The expanded tensor needs the memory of one number only, but it is
    not writable. Call ``reset`` after the last ``add_state``: ``reset`` replaces the states by writable copies.

    Args:
        value: value of all bins.
        dtype: type of the state.
    """
    return torch.tensor(value, dtype=dtype).expand(BINS)


def bin_index(score: Tensor) -> Tensor:
    """Bin of each score: int64, same shape, in [0, BINS). A higher score never has a lower bin.

    Positive scores below 2^-40 belong to bin 1. Scores above 2^8 belong to the last bin.

    Args:
        score: float32 scores >= 0 of any shape.
    """
    index = ((score.view(torch.int32) >> DROPPED_BITS) - FIRST).clamp_(0, POSITIVE_BINS - 1) + 1
    return torch.where(score > 0, index, 0).long()
