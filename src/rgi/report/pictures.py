"""Arrays to pictures: photographs, heat maps on a shared scale, outlines of the truth, labelled strips."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

PERCENTILE = 99.5
COLOURS = "magma"
PANEL = 192  # pixels: small images are enlarged to about this many
EXACT = 128 * 128  # values: up to here embedded photographs are lossless, larger ones would make pages of 10 MB
OUTLINE, PAPER, INK = "#3fe0f0", "#ffffff", "#24272b"


@dataclass(frozen=True)
class Panel:
    """One labelled picture of a strip; ``outlined`` ones carry the border of the truth."""

    label: str
    image: Image.Image
    outlined: bool = False


def photograph(image: np.ndarray) -> Image.Image:
    """(C,H,W) with C = 1 or 3, nominally in [-1,1], to 8 bits. Values outside are cut, NaN turns mid-grey."""
    pixels = np.clip((np.nan_to_num(image.astype(np.float32), nan=0.0) + 1) * 127.5, 0, 255)
    pixels = pixels.round().astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0).copy())


def heat_scale(maps: Iterable[np.ndarray]) -> float:
    """The value that gets the brightest colour: the 99.5th percentile over all pixels of all maps (H,W).

    Where fewer than 0.5 % of the pixels are above zero it is the maximum, and 1 if there is none.
    """
    values = np.concatenate([np.ravel(each) for each in maps])
    values = values[np.isfinite(values)]
    if not values.size:
        return 1.0
    return float(np.percentile(values, PERCENTILE)) or float(values.max()) or 1.0


def heat(anomaly_map: np.ndarray, scale: float) -> Image.Image:
    """(H,W) >= 0 to a palette image: 0 is black, ``scale`` and above the brightest colour."""
    level = np.nan_to_num(anomaly_map, nan=0.0, posinf=scale) / scale
    image = Image.fromarray((np.clip(level, 0, 1) * 255).round().astype(np.uint8))
    image.putpalette(palette())
    return image


@cache
def palette() -> bytes:
    """The 256 colours of the heat maps, as R, G, B bytes."""
    colours = matplotlib.colormaps[COLOURS](np.arange(256))[:, :3]
    return (colours * 255).round().astype(np.uint8).tobytes()


def gradient() -> str:
    """The same colours for a legend, as a CSS gradient from left to right."""
    colours = palette()
    stops = ("#" + colours[3 * level : 3 * level + 3].hex() for level in range(0, 256, 15))
    return f"linear-gradient(90deg, {', '.join(stops)})"


def edges(truth: np.ndarray) -> np.ndarray:
    """The border of a region (H,W) of bool, as segments (N,4) of x0, y0, x1, y1 along the sides of pixels."""
    padded = np.pad(truth.astype(bool), 1)
    y, left, right = runs(padded[1:, 1:-1] != padded[:-1, 1:-1])
    x, top, bottom = runs((padded[1:-1, 1:] != padded[1:-1, :-1]).T)
    return np.concatenate([np.stack([left, y, right, y], 1), np.stack([x, top, x, bottom], 1)])


def runs(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretches of True in each row of (R,N): row, first index, index after the last."""
    step = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(step == 1)
    return row, start, np.nonzero(step == -1)[1]


def outline(truth: np.ndarray) -> str:
    """The border of a region (H,W) as the data of an SVG path, one unit per pixel; empty for an empty region."""
    return "".join(
        f"M{x0} {y0}" + (f"h{x1 - x0}" if y0 == y1 else f"v{y1 - y0}") for x0, y0, x1, y1 in edges(truth).tolist()
    )


def data_uri(image: Image.Image) -> str:
    """The picture as text for an ``src``: PNG, or WebP for a large photograph."""
    buffer = io.BytesIO()
    values = image.width * image.height * len(image.getbands())
    if image.mode == "P" or values <= EXACT:
        kind = "png"
        image.save(buffer, "PNG")
    else:
        kind = "webp"
        image.save(buffer, "WEBP", quality=92, method=1)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def strip(panels: list[Panel], truth: np.ndarray | None) -> Image.Image:
    """The panels side by side, enlarged by one whole factor, each below its label.

    ``truth`` (H,W) of bool, or None, is what the outlined panels show.
    """
    width, height = panels[0].image.size
    factor = max(1, round(PANEL / max(width, height)))
    cell, gap, head = max(width * factor, 3 * PANEL // 4), 10, 26
    size = (gap + len(panels) * (cell + gap), head + height * factor + gap)
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), label_font()
    border = None if truth is None else edges(truth) * factor
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
    return ImageFont.load_default(14)


@cache
def shorten(label: str, width: int) -> str:
    """The label, cut with an ellipsis so that it takes at most ``width`` pixels."""
    if label_font().getlength(label) <= width:
        return label
    kept = label
    while kept and label_font().getlength(kept + "…") > width:
        kept = kept[:-1]
    return kept + "…"
