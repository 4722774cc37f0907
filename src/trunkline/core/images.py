"""The one decoder: bytes from outside in, an upright 8-bit RGB picture out, or a clear refusal.

Pictures are hostile until they are decoded: the header's size is checked before a single pixel is.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"})
"""File endings that are taken for images when a folder is looked through."""
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""Pillow's names of the formats that are decoded; the rest of its decoders never see bytes from outside."""
MAX_PIXELS = 100_000_000
MAX_SIDE = 65_535
MAX_BYTES = 512 << 20
_SCANS, _SCANNED = 100, 2_000_000_000
"""Scans of a JPEG, and pixels of all its scans together: a progressive one has about ten, each of which goes through
the whole picture and may cost a hundred bytes."""
_ORIENTATION = 0x0112  # EXIF tag
_GREY_RANGES = (1.0, 255.0, 65535.0)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header says.

    Attributes:
        width, height: Pixels, after EXIF orientation.
        mode: Pillow's name of the pixel type, as "L", "RGB", "CMYK", "I;16".
        format: Pillow's name of the format, as "JPEG".
        frames: 1 for a still picture, more for an animation or for pages; where only a walk through the whole file
            would count them (GIF, TIFF), 2 stands for "more than one".
    """

    width: int
    height: int
    mode: str
    format: str
    frames: int


class TooLargeError(DataError):
    """An image whose header says more pixels than are allowed."""


def check_bytes(size: int) -> None:
    """Refuse a file by its size, before it is read into memory.

    Args:
        size: Bytes of the file.

    Raises:
        TooLargeError: When it is larger than any picture.
    """
    if size > MAX_BYTES:
        raise TooLargeError(
            f"expected a file of at most {MAX_BYTES >> 20} MB, got {size >> 20} MB", fix="make the picture smaller"
        )


def probe(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Read the header only; no pixel is decoded.

    Raises:
        TooLargeError: When it says more than `max_pixels`.
        DataError: When the bytes are no image of a known format.
    """
    from PIL import Image

    image = _open(data, max_pixels)
    width, height = image.size
    # A PNG's own `getexif` would decode the picture to look for EXIF behind the pixels.
    if _orientation(image, Image.Image.getexif) >= 5:  # EXIF 5 to 8 turn the picture by 90 degrees
        width, height = height, width
    return ImageInfo(width, height, image.mode, image.format or "", _frames(image))


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, room: Callable[[int], AbstractContextManager[object]] = nullcontext
) -> Image.Image:
    """Decode an image to upright 8-bit RGB.

    EXIF orientation is applied; of an animation (and of pages) the first is taken; transparency is laid on white.
    16-bit grey is scaled by its full range. 32-bit and floating grey is scaled by the smallest of 0..1, 0..255 and
    0..65535 that holds every pixel (so that pictures of one camera stay comparable), else by the picture's own range.

    Args:
        data: The file's bytes.
        max_pixels: The most that the header may say, before anything is decoded.
        room: Entered with the number of pixels while they are decoded, which takes up to 20 bytes each.

    Raises:
        TooLargeError: When the header says more than `max_pixels`.
        DataError: When the bytes are no image, truncated or broken.
    """
    image = _open(data, max_pixels)
    _check_scans(image, data)
    try:
        with room(image.width * image.height):
            image.load()
            return _to_rgb(_upright(image))
    except Exception as error:  # decoders raise many kinds on hostile bytes
        text = _words(error)
        kind = "truncated" if "truncated" in text.lower() else "broken"
        raise DataError(f"the image is {kind}: {text}", fix="copy the file again or leave it out") from error


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise DataError("expected an image, got 0 bytes", fix="the file is empty; copy it again or leave it out")
    check_bytes(len(data))
    image = _read_header(data)
    width, height = image.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise TooLargeError(
            f"expected at most {max_pixels:,} pixels and {MAX_SIDE:,} a side, got {width:,} x {height:,}",
            fix="make the picture smaller, cut it into tiles, or raise the setting max_pixels",
        )
    return image


def _check_scans(image: Image.Image, data: bytes) -> None:
    """Refuse a JPEG that would keep a core for minutes."""
    scans = data.count(b"\xff\xda") if data.startswith(b"\xff\xd8\xff") else 0  # no picture has these bytes inside
    width, height = image.size
    most = min(_SCANS, _SCANNED // max(1, width * height))
    if scans > most:
        raise TooLargeError(
            f"expected a JPEG of at most {most} scans at {width:,} x {height:,} pixels, got {scans:,}",
            fix="save the picture again",
        )


def _read_header(data: bytes) -> Image.Image:
    """Open with the decoder that the first bytes call for.

    `PIL.Image.open` is not used: its own limit of pixels is a global that `max_pixels` could not raise, and it warns,
    which cannot be silenced safely from several threads.
    """
    for magic, offset, factory in _decoders():
        if data.startswith(magic, offset):
            try:
                image: Image.Image = factory(io.BytesIO(data), "")
            except Exception as error:  # header parsers raise many kinds on hostile bytes
                raise DataError(
                    f"the image's header is truncated or broken: {_words(error)}",
                    fix="copy the file again or leave it out",
                ) from error
            return image
    kind = "text" if _is_text(data[:512]) else f"bytes that begin with {data[:16].hex(' ')}"
    raise DataError(
        f"expected an image ({', '.join(FORMATS)}), got {kind}", fix="leave the file out or save it as an image"
    )


@cache
def _decoders() -> list[tuple[bytes, int, Callable[..., Any]]]:
    """First bytes, where they stand, and what opens such a file."""
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import jpeg_factory
    from PIL.PngImagePlugin import PngImageFile
    from PIL.PpmImagePlugin import PpmImageFile
    from PIL.TiffImagePlugin import PREFIXES, TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return [
        (b"\xff\xd8\xff", 0, jpeg_factory),
        (b"\x89PNG\r\n\x1a\n", 0, PngImageFile),
        (b"BM", 0, BmpImageFile),
        *((prefix, 0, TiffImageFile) for prefix in PREFIXES),
        (b"WEBP", 8, WebPImageFile),
        (b"GIF8", 0, GifImageFile),
        *((b"P%d" % number, 0, PpmImageFile) for number in range(1, 7)),
    ]


def _words(error: Exception) -> str:
    """What a decoder says, but for what only its makers understand."""
    text = str(error) or type(error).__name__
    return "its metadata unpack to more than a picture needs" if "MAX_TEXT_" in text else text


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(data) - 4:
            return False
        text = data[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c in "\r\n\t" for c in text)


def _frames(image: Image.Image) -> int:
    try:
        if image.format in ("GIF", "TIFF"):
            return 2 if getattr(image, "is_animated", False) else 1
        return int(getattr(image, "n_frames", 1))
    except Exception:  # what follows the first picture is broken; the first may be whole  # noqa: BLE001
        return 1


def _orientation(image: Image.Image, getexif: Callable[[Any], Any]) -> int:
    try:
        return int(getexif(image).get(_ORIENTATION, 1))
    except Exception:  # broken EXIF says nothing about the pixels  # noqa: BLE001
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; `ImageOps.exif_transpose` would write the EXIF anew as well, and fail where it is broken."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(_orientation(image, type(image).getexif))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = image.info
    return turned


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16"):
        return _from_16_bits(image)
    if image.mode in ("I", "F"):
        return _from_wide_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits by the full range; `Image.convert` would clip it instead."""
    import numpy as np
    from PIL import Image

    table = np.round(np.arange(65536) / 257).astype(np.uint8)
    return Image.fromarray(table[np.asarray(image)]).convert("RGB")


def _from_wide_grey(image: Image.Image) -> Image.Image:
    """32-bit and floating grey to 8 bits, see `decode`."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():  # NaN passes through min and max
        raise ValueError("pixels are NaN or infinite")
    if image.format == "PPM":  # Pillow scales what a PPM says to 16 bits
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= _GREY_RANGES[-1]:
        low, high = 0.0, next(top for top in _GREY_RANGES if high <= top)
    values -= low
    values *= 255.0 / max(high - low, 1e-30)
    return Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8)).convert("RGB")
