"""A heat map over its picture."""

import numpy as np
from PIL import Image, ImageColor
from scipy import ndimage

from rgi.report.pictures import palette

OUTLINE = "#3fe0f0"  # as on the page of a report
OPACITY = 0.75  # of the brightest colour of the heat map
LINES_PER_SIDE = 250  # the outline is as wide as the shorter side of a picture divided by this number


def overlay(
    pixels: np.ndarray, anomaly_map: np.ndarray, colours: tuple[float, float], threshold: float | None
) -> Image.Image:
    """Draw an anomaly map over its picture; the picture shows through where the map is low.

    Args:
        pixels: picture uint8 (C,H,W) with C = 1 or 3.
        anomaly_map: anomaly map (H,W) >= 0.
        colours: the values that get the first and the last colour; beyond them, the colour is the same.
        threshold: the regions above this value are outlined; None for no outline.
    """
    first, last = colours
    level = np.clip((anomaly_map - first) / max(last - first, np.finfo(np.float32).tiny), 0, 1).astype(np.float32)
    heat = np.frombuffer(palette(), np.uint8).reshape(256, 3)[(level * 255).round().astype(np.uint8)]
    opacity = OPACITY * level[..., None]
    drawn = (1 - opacity) * pixels.transpose(1, 2, 0) + opacity * heat
    if threshold is not None:
        drawn[_border(anomaly_map > threshold)] = ImageColor.getrgb(OUTLINE)
    return Image.fromarray(drawn.round().astype(np.uint8))


def _border(region: np.ndarray) -> np.ndarray:
    """The pixels just outside a region (H,W) of bool."""
    width = max(1, min(region.shape) // LINES_PER_SIDE)
    return ndimage.binary_dilation(region, iterations=width) & ~region
