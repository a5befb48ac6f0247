"""Pictures from arrays: images, heat maps with a shared scale, outlines of true masks, and strips with labels."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

PERCENTILE = 99.5  # percentile of the anomaly values that gets the brightest colour
COLOUR_MAP = "magma"
PANEL_SIZE = 192  # approximate side length of a panel in pixels; small images are enlarged
LOSSLESS_VALUES = 128 * 128  # embedded images with more values are WebP, because PNG would make pages of 10 MB
OUTLINE, PAPER, INK = "#3fe0f0", "#ffffff", "#24272b"


@dataclass(frozen=True)
class Panel:
    """One picture of a strip.

    Attributes:
        label: text above the picture.
        image: the picture.
        outlined: whether the outline of the true mask is drawn over the picture.
    """

    label: str
    image: Image.Image
    outlined: bool = False


def to_picture(image: np.ndarray) -> Image.Image:
    """Convert an image to 8 bits.

    Args:
        image: array (C,H,W) with C = 1 or 3 and data range [-1,1]. Values outside are clipped. NaN becomes mid-grey.
    """
    pixels = np.clip((np.nan_to_num(image.astype(np.float32), nan=0.0) + 1) * 127.5, 0, 255)
    pixels = pixels.round().astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0).copy())


def heatmap_scale(maps: Iterable[np.ndarray]) -> float:
    """Anomaly value with the brightest colour: the 99.5th percentile over all pixels of all maps.

    If this percentile is 0, the result is the maximum. If the maximum is 0 or no value is finite, the result is 1.

    Args:
        maps: anomaly maps (H,W) with values >= 0.
    """
    values = np.concatenate([np.ravel(each) for each in maps])
    values = values[np.isfinite(values)]
    if not values.size:
        return 1.0
    return float(np.percentile(values, PERCENTILE)) or float(values.max()) or 1.0


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


def border_segments(mask: np.ndarray) -> np.ndarray:
    """Border of a mask as line segments along the sides of pixels.

    Args:
        mask: array (H,W) of bool.

    Returns:
        Segments (N,4) with the columns x0, y0, x1, y1 in pixels.
    """
    padded = np.pad(mask.astype(bool), 1)
    y, left, right = runs(padded[1:, 1:-1] != padded[:-1, 1:-1])
    x, top, bottom = runs((padded[1:-1, 1:] != padded[1:-1, :-1]).T)
    return np.concatenate([np.stack([left, y, right, y], 1), np.stack([x, top, x, bottom], 1)])


def runs(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of True in the rows of an array.

    Args:
        lines: array (R,N) of bool.

    Returns:
        Row, first index, and index after the last element of each run; three arrays of the same length.
    """
    step = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(step == 1)
    return row, start, np.nonzero(step == -1)[1]


def outline_path(mask: np.ndarray) -> str:
    """Border of a mask (H,W) of bool as the data of an SVG path in pixels; empty for an empty mask."""
    return "".join(
        f"M{x0} {y0}" + (f"h{x1 - x0}" if y0 == y1 else f"v{y1 - y0}")
        for x0, y0, x1, y1 in border_segments(mask).tolist()
    )


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


def strip(panels: list[Panel], mask: np.ndarray | None) -> Image.Image:
    """Draw panels side by side, each below its label.

    Args:
        panels: pictures of the same size. All pictures are enlarged by the same integer factor.
        mask: true mask (H,W) of bool, or None. Its border is drawn over the outlined panels.
    """
    width, height = panels[0].image.size
    factor = max(1, round(PANEL_SIZE / max(width, height)))
    cell, gap, head = max(width * factor, 3 * PANEL_SIZE // 4), 10, 26
    size = (gap + len(panels) * (cell + gap), head + height * factor + gap)
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), label_font()
    border = None if mask is None else border_segments(mask) * factor
    for position, panel in enumerate(panels):
        left = gap + position * (cell + gap)
        pen.text((left, head // 2), shorten(panel.label, cell), INK, font, anchor="lm")
        sheet.paste(panel.image.resize((width * factor, height * factor), Image.Resampling.NEAREST), (left, head))
        if panel.outlined and border is not None:
            for x0, y0, x1, y1 in border.tolist():
                pen.line((left + x0, head + y0, left + x1, head + y1), OUTLINE, 1)
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
