"""Layers that several families share."""

from torch import Tensor


def minibatch_deviation(x: Tensor, together: bool, group: int = 4) -> Tensor:
    """Minibatch standard deviation (Karras et al. 2018, section 3) as an additional feature map.

    The value of a group of consecutive images is the mean over channels and positions of the standard deviation over
    the images.

    Args:
        x: feature maps (B,C,H,W).
        together: whether the images of a group are compared. False gives 0 for all images, so that the score of an
            image does not depend on the other images in the batch.
        group: number of images per group; a batch size that is no multiple of it gives one group.

    Returns:
        Constant maps (B,1,H,W); 0 for a batch of one image.
    """
    size = group if len(x) % group == 0 else len(x)
    if not together or size == 1:
        return x.new_zeros(len(x), 1, *x.shape[2:])
    deviation = (x.unflatten(0, (-1, size)).var(1) + 1e-8).sqrt().mean((1, 2, 3), keepdim=True)
    return deviation.repeat_interleave(size, 0).expand(-1, -1, *x.shape[2:])
