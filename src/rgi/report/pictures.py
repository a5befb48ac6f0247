"""Pictures from arrays: images, heat maps with a shared scale, and strips with labels."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rgi.report.histogram import Histogram

PERCENTILE = 99.5  # percentile of the anomaly values that gets the brightest colour
COLOUR_MAP = "magma"
PANEL_SIZE = 192  # approximate side length of a panel in pixels; small images are enlarged
LOSSLESS_VALUES = 128 * 128  # embedded images with more values are WebP, because PNG would make pages of 10 MB
PAPER, INK = "#ffffff", "#24272b"
GAP, HEAD = 10, 26  # pixels between the panels of a strip, and above them for the labels


@dataclass(frozen=True)
class Panel:
    """One picture of an image.

    Attributes:
        role: what it shows: observed, clean, truth, restored or map.
        method: position of the method in the report; None for a picture of the image itself.
        label: text above the picture in a strip.
        image: the picture.
    """

    role: str
    method: int | None
    label: str
    image: Image.Image


def to_picture(image: np.ndarray) -> Image.Image:
    """Convert an image to 8 bits.

    Args:
        image: array (C,H,W) with C = 1 or 3 and data range [-1,1]. Values outside are clipped. NaN becomes mid-grey.
    """
    pixels = np.clip((np.nan_to_num(image.astype(np.float32), nan=0.0) + 1) * 127.5, 0, 255)
    pixels = pixels.round().astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0).copy())


def heatmap_scale(maps: Iterable[np.ndarray]) -> float:
    """Anomaly value with the brightest colour, see `rgi.report.histogram.Histogram.scale`.

    Args:
        maps: anomaly maps (H,W) with values >= 0.
    """
    histogram = Histogram()
    for each in maps:
        histogram.add(each)
    return histogram.scale(PERCENTILE)


def heatmap(anomaly_map: np.ndarray, scale: float) -> Image.Image:
    """Convert an anomaly map to a palette image.

    Args:
        anomaly_map: array (H,W) with values >= 0. Value 0 and NaN become black.
        scale: value above 0 that gets the brightest colour. Higher values get the same colour.
    """
    level = np.nan_to_num(anomaly_map, nan=0.0, posinf=scale) / scale
    image = Image.fromarray((np.clip(level, 0, 1) * 255).round().astype(np.uint8))
    image.putpalette(palette())
    return image


@cache
def palette() -> bytes:
    """The 256 colours of the heat maps as R, G, B bytes."""
    colours = matplotlib.colormaps[COLOUR_MAP](np.arange(256))[:, :3]
    return (colours * 255).round().astype(np.uint8).tobytes()


def css_gradient() -> str:
    """The colours of the heat maps as a CSS gradient from left to right, for the legend."""
    colours = palette()
    stops = ("#" + colours[3 * level : 3 * level + 3].hex() for level in range(0, 256, 15))
    return f"linear-gradient(90deg, {', '.join(stops)})"


def data_uri(image: Image.Image) -> str:
    """Encode a picture as a data URI: WebP for images with more than `LOSSLESS_VALUES` values, else PNG."""
    buffer = io.BytesIO()
    values = image.width * image.height * len(image.getbands())
    if image.mode == "P" or values <= LOSSLESS_VALUES:
        kind = "png"
        image.save(buffer, "PNG")
    else:
        kind = "webp"
        image.save(buffer, "WEBP", quality=92, method=1)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class StripLayout:
    """Where the panels of a strip are. All lengths are in pixels of the strip.

    Attributes:
        factor: integer factor by which all panels are enlarged.
        cell: width of a panel with its label.
        size: width and height of the strip.
        corners: upper left corner of each panel.
    """

    factor: int
    cell: int
    size: tuple[int, int]
    corners: list[tuple[int, int]]


def strip_layout(size: tuple[int, int], count: int) -> StripLayout:
    """Layout of a strip.

    Args:
        size: width and height of each picture before it is enlarged.
        count: number of pictures.
    """
    width, height = size
    factor = max(1, round(PANEL_SIZE / max(width, height)))
    cell = max(width * factor, 3 * PANEL_SIZE // 4)
    corners = [(GAP + position * (cell + GAP), HEAD) for position in range(count)]
    return StripLayout(factor, cell, (GAP + count * (cell + GAP), HEAD + height * factor + GAP), corners)


def strip(panels: list[Panel]) -> Image.Image:
    """Draw panels of the same size side by side, each below its label, as `strip_layout` says."""
    width, height = panels[0].image.size
    layout = strip_layout(panels[0].image.size, len(panels))
    sheet = Image.new("RGB", layout.size, PAPER)
    pen, font = ImageDraw.Draw(sheet), label_font()
    enlarged = (width * layout.factor, height * layout.factor)
    for panel, (left, top) in zip(panels, layout.corners, strict=True):
        pen.text((left, top // 2), shorten(panel.label, layout.cell), INK, font, anchor="lm")
        sheet.paste(panel.image.resize(enlarged, Image.Resampling.NEAREST), (left, top))
    return sheet


@cache
def label_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Font of the labels in a strip."""
    return ImageFont.load_default(14)


@cache
def shorten(label: str, width: int) -> str:
    """Cut a label with an ellipsis so that it is at most ``width`` pixels wide."""
    if label_font().getlength(label) <= width:
        return label
    kept = label
    while kept and label_font().getlength(kept + "…") > width:
        kept = kept[:-1]
    return kept + "…"
