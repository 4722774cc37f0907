"""Thumbnails, heat maps over pictures, and the contact sheet of a bundle.

Heat is scaled once for a whole set of pictures (`heat_top`), not for each: a picture without evidence stays dark
next to one with plenty, where scaling each by itself would light up noise.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Sixteen steps of the colour map "inferno" by Nathaniel Smith and Stefan van der Walt (CC0), perceptually uniform.
_INFERNO = (
    "000004 0c0826 240c4f 420a68 5d126e 781c6d 932667 ae305c c73e4c dd513a ed6925 f8850f fca50a fac62d f2e661 fcffa4"
)
_QUALITY = 80
_STRONGEST = 0.78  # opacity of the hottest place; the picture stays visible under it
_SHEET_COLUMNS, _SHEET_ROWS, _TILE = 4, 2, 36
PREVIEW_BYTES = 6 * 1024
"""The most that `preview` gives."""


def thumbnail(image: Image.Image, side: int = 160) -> bytes:
    """The whole picture as JPEG, its longer side at most `side` pixels."""
    return _jpeg(reduced(image, side))


def heat_top(heats: Sequence[NDArray[np.floating]]) -> float:
    """The evidence that is shown at full strength for a set of pictures: the 99.5th percentile of what is positive.

    Args:
        heats: Maps of evidence of shape (h, w), of any sizes; over 0 speaks for the answer.
    """
    positive = [values[values > 0].ravel() for values in map(np.asarray, heats)]
    together = np.concatenate(positive) if positive else np.empty(0)
    return float(np.quantile(together, 0.995)) if together.size else 1.0


def overlay(image: Image.Image, heat: NDArray[np.floating], side: int = 160, *, top: float) -> bytes:
    """The picture in grey with evidence laid over it, as JPEG.

    Args:
        image: The picture.
        heat: Evidence, shape (h, w), for the whole picture; at or under 0 nothing is laid over it.
        side: Longer side of the result in pixels.
        top: Evidence that is shown at full strength, from `heat_top` over the whole set.

    Raises:
        ValueError: When the map is not two-dimensional, or `top` is not positive.
    """
    if heat.ndim != 2 or not heat.size or not top > 0:
        raise ValueError(f"expected heat of shape (h, w) and top > 0, got {heat.shape} and {top}")
    small = reduced(image, side)
    grey = np.asarray(small.convert("L"), np.float32)[..., None]
    strength = np.clip(np.nan_to_num(np.asarray(heat, np.float32)) / top, 0, 1)
    smooth = Image.fromarray(strength).resize(small.size, Image.Resampling.BICUBIC)
    level = np.clip(np.asarray(smooth, np.float32), 0, 1)
    colours = _colours()[(level * 255).round().astype(np.uint8)]
    opacity = _STRONGEST * level[..., None] ** 0.75  # a little evidence is to be seen, noise is not
    mixed = grey * (1 - opacity) + colours * opacity
    return _jpeg(Image.fromarray(mixed.round().astype(np.uint8)))


def preview(images: Sequence[Image.Image]) -> bytes:
    """A contact sheet of up to eight pictures as PNG of at most `PREVIEW_BYTES`; same pictures, same bytes.

    Sixteen colours of four bits, stored and not compressed: compressors differ between machines, and a bundle's bytes
    must not. 144 x 72 pixels make 5.3 KB.

    Raises:
        ValueError: On no pictures.
    """
    if not images:
        raise ValueError("expected at least one picture for a preview, got none")
    shown = list(images[: _SHEET_COLUMNS * _SHEET_ROWS])
    columns = min(len(shown), _SHEET_COLUMNS)
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * _TILE, rows * _TILE), "white")
    for place, image in enumerate(shown):
        sheet.paste(tile(image), ((place % columns) * _TILE, (place // columns) * _TILE))
    return _png16(sheet.quantize(16, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))


def data_uri(picture: bytes) -> str:
    """JPEG or PNG bytes as a `data:` address."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def reduced(image: Image.Image, side: int) -> Image.Image:
    """The whole picture in RGB, its longer side at most `side` pixels; one that is small enough stays as it is."""
    rgb = image.convert("RGB")
    scale = min(1.0, side / max(rgb.size))
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    return rgb.resize(size, Image.Resampling.LANCZOS)


def tile(image: Image.Image) -> Image.Image:
    """A picture as a square of the contact sheet, its middle; the tile of a tile is the same."""
    rgb = image.convert("RGB")
    short = min(rgb.size)
    left, top = (rgb.width - short) // 2, (rgb.height - short) // 2
    return rgb.resize((_TILE, _TILE), Image.Resampling.BOX, box=(left, top, left + short, top + short))


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return stream.getvalue()


def _colours() -> NDArray[np.float32]:
    """The colour map as 256 rows of red, green, blue in 0..255."""
    steps = np.array([list(bytes.fromhex(step)) for step in _INFERNO.split()], np.float32)
    places = np.linspace(0, len(steps) - 1, 256)
    return np.stack([np.interp(places, np.arange(len(steps)), steps[:, c]) for c in range(3)], axis=1).astype(
        np.float32
    )


def _png16(image: Image.Image) -> bytes:
    """A palette image of 16 colours and even width as PNG with stored deflate blocks (RFC 1950, 1951; PNG 3rd ed.)."""
    pixels = np.asarray(image, np.uint8)
    packed = (pixels[:, ::2] << 4) | pixels[:, 1::2]
    raw = b"".join(b"\0" + row.tobytes() for row in packed)
    palette = bytes((image.getpalette() or [])[:48]).ljust(48, b"\0")
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(raw), len(raw) ^ 0xFFFF) + raw
    header = struct.pack(">IIBBBBB", image.width, image.height, 4, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", stored + struct.pack(">I", zlib.adler32(raw)))]
    body = b"".join(_chunk(kind, data) for kind, data in [*chunks, (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
