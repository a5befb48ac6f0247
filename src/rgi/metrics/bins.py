"""Six million bins on the ordered bit pattern of a non-negative float32: a fine, scale-free grid of fixed size.

The bits of such floats, read as integers, are in the order of the values. Dropping the last 6 bits of the
mantissa leaves 2^17 equal bins in each octave (a relative width of at most 2^-17), so nearby scores fall into one
bin at any scale. Octaves 2^-40 to 2^8 are kept; exact zero, the value most often tied, has bin 0 to itself.
"""

import torch
from torch import Tensor

DROPPED_BITS = 6
MANTISSA_BITS, EXPONENT_BIAS = 23, 127
OCTAVES = range(-40, 8)  # smoothing leaves tails this small around a mask, and they are ranked too
POSITIVE_BINS = len(OCTAVES) << (MANTISSA_BITS - DROPPED_BITS)
BINS = 1 + POSITIVE_BINS
FIRST = (EXPONENT_BIAS + OCTAVES.start) << (MANTISSA_BITS - DROPPED_BITS)


def default_state(value: float, dtype: torch.dtype) -> Tensor:
    """Default state of a metric, (BINS,), in the memory of one number: torchmetrics keeps defaults beside the states.

    Call ``reset`` after the last ``add_state``, which makes writable states of them.
    """
    return torch.tensor(value, dtype=dtype).expand(BINS)


def bin_index(score: Tensor) -> Tensor:
    """Bin of each float32 score >= 0: int64, same shape, in [0, BINS), never decreasing in the score.

    Positive scores below 2^-40 share bin 1 with those just above, scores above 2^8 the last bin with those just below.
    """
    index = ((score.view(torch.int32) >> DROPPED_BITS) - FIRST).clamp_(0, POSITIVE_BINS - 1) + 1
    return torch.where(score > 0, index, 0).long()
