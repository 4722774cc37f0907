"""The one decoder: bytes from outside in, an upright 8-bit RGB picture out, or a clear refusal.

Pictures are hostile until they are decoded: the header's size is checked before a single pixel is.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trunkline.core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"})
"""File endings that are taken for images when a folder is looked through."""
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "MPO")
"""Pillow's names of the formats that are decoded; the rest of its decoders never see bytes from outside."""
MAX_PIXELS = 100_000_000
MAX_SIDE = 65_535
MAX_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header says.

    Attributes:
        width, height: Pixels, after EXIF orientation.
        mode: Pillow's name of the pixel type, as "L", "RGB", "CMYK", "I;16".
        format: Pillow's name of the format, as "JPEG".
        frames: Pictures in the file; more than one for an animation.
    """

    width: int
    height: int
    mode: str
    format: str
    frames: int


class TooLargeError(DataError):
    """An image whose header says more pixels than are allowed."""


def _open(data: bytes, max_pixels: int) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise DataError("expected an image, got 0 bytes", fix="the file is empty; copy it again or leave it out")
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"expected at most {MAX_BYTES >> 20} MB, got {len(data) >> 20} MB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs by its own limit; ours is checked below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        start = data[:16]
        kind = "text" if _is_text(data[:512]) else f"bytes that begin with {start.hex(' ')}"
        raise DataError(
            f"expected an image ({', '.join(FORMATS[:-1])}), got {kind}", fix="leave the file out or save it as an image"
        ) from None
    except Image.DecompressionBombError:
        raise TooLargeError(
            f"expected at most {max_pixels:,} pixels, got far more", fix="make the picture smaller or raise max_pixels"
        ) from None
    except Exception as error:  # decoders raise many kinds on hostile bytes  # noqa: BLE001
        raise DataError(f"the image's header cannot be read: {error}", fix="copy the file again or leave it out") from error
    width, height = image.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        image.close()
        raise TooLargeError(
            f"expected at most {max_pixels:,} pixels and {MAX_SIDE:,} a side, got {width:,} x {height:,}",
            fix="make the picture smaller, cut it into tiles, or raise the setting max_pixels",
        )
    return image


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(data) - 4:
            return False
        text = data[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c in "\r\n\t" for c in text)


def probe(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Read the header only.

    Raises:
        TooLargeError: When it says more than `max_pixels`.
        DataError: When the bytes are no image of a known format.
    """
    image = _open(data, max_pixels)
    width, height = image.size
    if _orientation(image) >= 5:  # EXIF 5 to 8 turn the picture by 90 degrees
        width, height = height, width
    return ImageInfo(width, height, image.mode, image.format or "", int(getattr(image, "n_frames", 1)))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # broken EXIF says nothing about the pixels  # noqa: BLE001
        return 1


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image to upright 8-bit RGB.

    EXIF orientation is applied; of an animation the first frame is taken; transparency is laid on white; 16-bit
    and floating pixels are scaled to 8 bits (16-bit by their full range, others by the picture's own).

    Args:
        data: The file's bytes.
        max_pixels: The most that the header may say, before anything is decoded.

    Raises:
        TooLargeError: When the header says more than `max_pixels`.
        DataError: When the bytes are no image, truncated or broken.
    """
    from PIL import ImageOps

    image = _open(data, max_pixels)
    try:
        image.load()
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image)
    except Exception as error:  # decoders raise many kinds on hostile bytes  # noqa: BLE001
        text = str(error) or type(error).__name__
        kind = "truncated" if "truncated" in text.lower() else "broken"
        raise DataError(f"the image is {kind}: {text}", fix="copy the file again or leave it out") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        return _scaled(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating grey to 8 bits; `Image.convert` would clip them instead."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError("pixels are NaN or infinite")
    low, high = (0.0, 65535.0) if 255 < values.max(initial=0) <= 65535 and values.min(initial=0) >= 0 else (
        float(min(values.min(initial=0), 0.0)), float(max(values.max(initial=0), 1.0)))  # fmt: skip
    if image.mode.startswith("I") and values.max(initial=0) <= 255 and values.min(initial=0) >= 0:
        low, high = 0.0, 65535.0 if image.mode == "I;16" else 255.0
    return Image.fromarray(np.clip(255 * (values - low) / (high - low), 0, 255).round().astype(np.uint8))
