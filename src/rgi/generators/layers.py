"""What several families share."""

from torch import Tensor


def minibatch_deviation(x: Tensor, together: bool, group: int = 4) -> Tensor:
    """One map (B,1,H,W) with the mean standard deviation within groups of consecutive images of x (B,C,H,W).

    A batch that ``group`` does not divide is one group, and a single image has deviation 0 (Karras et al.
    2018). Unless ``together``, every image takes that value, so that its score never depends on its neighbours.
    """
    size = group if len(x) % group == 0 else len(x)
    if not together or size == 1:
        return x.new_zeros(len(x), 1, *x.shape[2:])
    deviation = (x.unflatten(0, (-1, size)).var(1) + 1e-8).sqrt().mean((1, 2, 3), keepdim=True)
    return deviation.repeat_interleave(size, 0).expand(-1, -1, *x.shape[2:])
