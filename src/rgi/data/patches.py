"""Random patches of pictures: square windows at the pictures' own scale."""

import numpy as np


def random_patches(
    picture: np.ndarray, side: int, count: int, rng: np.random.Generator, counted: np.ndarray | None = None
) -> np.ndarray:
    """Patches (count,C,side,side) of a picture at random places.

    Args:
        picture: picture (C,H,W), H and W at least ``side``.
        side: height and width of a patch in pixels.
        count: number of patches.
        rng: source of all random numbers.
        counted: pixels (H,W) of bool that count; a patch has at least half of them, or as many as the best place has.
            None if all pixels count.
    """
    down, across = (length - side + 1 for length in picture.shape[1:])
    if counted is None:
        places = rng.integers(down * across, size=count)
    else:
        pixels = np.pad(counted, ((1, 0), (1, 0))).cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
        rows = pixels[side:] - pixels[:-side]
        share = rows[:, side:] - rows[:, :-side]
        places = rng.choice(np.flatnonzero(share >= min(share.max(), side * side / 2)), count)
    corners = (divmod(int(place), across) for place in places)
    return np.stack([picture[:, top : top + side, left : left + side] for top, left in corners])
