"""A histogram grid of some seven million bins for all non-negative float32 scores, infinity included.

The bit patterns of non-negative floats, read as integers, have the same order as the floats. A bin is a bit pattern
without the last bits of the mantissa. The octaves from 2^-40 to 2^16 have 2^17 bins each, so the relative width of a
bin is at most 2^-17. All other octaves have 2^10 bins each. Bin 0 holds zero only, because zero is the most frequent
score.
"""

import torch
from torch import Tensor

MANTISSA_BITS, EXPONENT_BIAS, EXPONENTS = 23, 127, 255  # of float32; the last exponent stands for infinity
FINE_OCTAVES = range(-40, 16)  # a smoothed mask has tails as small as 2^-40, and their pixels are ranked, too
FINE_BITS, COARSE_BITS = 17, 10  # bits of the mantissa that tell bins apart
BELOW = (EXPONENT_BIAS + FINE_OCTAVES.start) << COARSE_BITS  # number of coarse bins below the fine ones
FINE = len(FINE_OCTAVES) << FINE_BITS
ABOVE = ((EXPONENTS - EXPONENT_BIAS - FINE_OCTAVES.stop) << COARSE_BITS) + 1
BINS = 1 + BELOW + FINE + ABOVE


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

    Args:
        score: float32 scores >= 0 of any shape.
    """
    bits = score.view(torch.int32)
    first, end = ((EXPONENT_BIAS + octave) << MANTISSA_BITS for octave in (FINE_OCTAVES.start, FINE_OCTAVES.stop))
    coarse = bits.clamp(max=first) >> (MANTISSA_BITS - COARSE_BITS)
    fine = (bits.clamp(first, end) - first) >> (MANTISSA_BITS - FINE_BITS)
    above = (bits.clamp(min=end) - end) >> (MANTISSA_BITS - COARSE_BITS)
    return torch.where(score > 0, 1 + coarse + fine + above, 0).long()
