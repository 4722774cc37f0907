from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from trunkline.core import images
from trunkline.core.errors import DataError
from trunkline.core.images import ImageInfo, TooLargeError, decode, probe

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of broken headers
RAMP = np.linspace(0, 255, 12 * 8 * 3).round().astype(np.uint8).reshape(12, 8, 3)
GREY = RAMP[..., 0]


def saved(image: Image.Image | np.ndarray, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    stream = io.BytesIO()
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    made.save(stream, format, **options)
    return stream.getvalue()


def with_alpha(alpha: int) -> np.ndarray:
    return np.dstack([RAMP, np.full(RAMP.shape[:2], alpha, np.uint8)])


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def colour_key() -> bytes:
    """An RGB PNG whose one colour (0, 0, 1) counts as transparent."""
    return saved(Image.new("RGB", (4, 4), (0, 0, 1)), transparency=(0, 0, 1))


def palette_with_alpha() -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    return saved(image, transparency=b"\xff\x00")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def deep_png() -> bytes:
    """RGB of 16 bits a channel, which Pillow does not write itself: the high byte of each is the 8-bit value."""
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in RAMP)
    head = struct.pack(">IIBBBBB", RAMP.shape[1], RAMP.shape[0], 16, 2, 0, 0, 0)
    return png(chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))


FRAMES = [Image.new("RGB", (8, 12), colour) for colour in ("red", "lime", "blue")]
RED = np.broadcast_to(np.array([255, 0, 0], np.uint8), (12, 8, 3))
WIDE = np.array([[0, 257, 32768, 65535]], np.uint16)
WIDE_8 = [0, 1, 128, 255]

EXACT = {
    "rgb": (saved(RAMP), RAMP),
    "grey": (saved(GREY), np.dstack([GREY] * 3)),
    "bit": (saved(Image.fromarray(GREY).convert("1")), np.asarray(Image.fromarray(GREY).convert("1").convert("RGB"))),
    "grey of 16 bits": (saved(WIDE), np.dstack([np.array([WIDE_8], np.uint8)] * 3)),
    "dark grey of 16 bits stays dark": (saved(WIDE // 257), np.dstack([np.array([[0, 0, 0, 1]], np.uint8)] * 3)),
    "TIFF of 16 bits, big-endian": (
        saved(Image.frombytes("I;16B", (4, 1), WIDE.astype(">u2").tobytes()), "TIFF"),
        np.dstack([np.array([WIDE_8], np.uint8)] * 3),
    ),
    "PGM of 16 bits": (b"P5 4 1 65535 " + WIDE.astype(">u2").tobytes(), np.dstack([np.array([WIDE_8], np.uint8)] * 3)),
    "floats in 0..1": (
        saved(np.array([[0.0, 0.5, 1.0]], np.float32), "TIFF"),
        np.dstack([np.array([[0, 128, 255]], np.uint8)] * 3),
    ),
    "floats in 0..255": (
        saved(np.array([[0.0, 2.0, 254.6]], np.float32), "TIFF"),
        np.dstack([np.array([[0, 2, 255]], np.uint8)] * 3),
    ),
    "floats below 0 are scaled by their own range": (
        saved(np.array([[-5.0, 0.0, 5.0]], np.float32), "TIFF"),
        np.dstack([np.array([[0, 128, 255]], np.uint8)] * 3),
    ),
    "RGB of 16 bits a channel": (deep_png(), RAMP),
    "PNG whose pixels unpack to 8 MB more than its header says": (
        png(header(4, 4), chunk(b"IDAT", zlib.compress(bytes(8 << 20), 9)), chunk(b"IEND", b"")),
        np.zeros((4, 4, 3), np.uint8),
    ),
    "grey with alpha is laid on white": (
        saved(Image.merge("LA", (Image.new("L", (4, 4), 0), Image.new("L", (4, 4), 51)))),
        np.full((4, 4, 3), 204, np.uint8),
    ),
    "GIF with a clear colour turns white": (
        saved(Image.new("P", (4, 4), 0), "GIF", transparency=0),
        np.full((4, 4, 3), 255, np.uint8),
    ),
    "clear pixels turn white": (saved(with_alpha(0)), np.full_like(RAMP, 255)),
    "opaque pixels stay": (saved(with_alpha(255)), RAMP),
    "colour key turns white": (colour_key(), np.full((4, 4, 3), 255, np.uint8)),
    "palette with alpha turns white": (palette_with_alpha(), np.full((4, 4, 3), 255, np.uint8)),
    "palette": (
        saved(Image.fromarray(RAMP).quantize(4)),
        np.asarray(Image.fromarray(RAMP).quantize(4).convert("RGB")),
    ),
    "animated GIF": (saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), RED),
    "animated WebP": (saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:], lossless=True), RED),
    "animated PNG": (saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), RED),
    "pages of a TIFF": (saved(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), RED),
    "EXIF in a PNG": (saved(Image.fromarray(np.rot90(RAMP)), exif=exif(6)), RAMP),
    "BMP": (saved(RAMP, "BMP"), RAMP),
    "PPM": (saved(RAMP, "PPM"), RAMP),
}


@pytest.mark.parametrize("name", EXACT)
def test_decode_gives_upright_rgb_of_8_bits(name: str) -> None:
    data, expected = EXACT[name]
    image = decode(data)
    assert (image.mode, image.size) == ("RGB", (expected.shape[1], expected.shape[0]))
    np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize(("orientation", "turn"), [
    (1, lambda a: a), (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (4, np.flipud),
    (5, lambda a: a.transpose(1, 0, 2)), (6, lambda a: np.rot90(a, -1)),
    (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)), (8, np.rot90),
])  # fmt: skip
def test_exif_orientation_is_applied(orientation: int, turn: Any) -> None:
    blocks = np.kron(np.array([[0, 90], [180, 255], [40, 130]], np.uint8), np.ones((16, 16), np.uint8))
    stored = np.dstack([blocks] * 3)
    data = saved(stored, "JPEG", quality=95, exif=exif(orientation))
    expected = turn(stored)
    np.testing.assert_allclose(np.asarray(decode(data)).astype(int), expected, atol=6)
    info = probe(data)
    assert (info.height, info.width) == expected.shape[:2]


def test_cmyk_jpeg_has_the_colours_of_the_rgb_one() -> None:
    flat = Image.new("RGB", (16, 16), (200, 60, 30))
    data = saved(flat.convert("CMYK"), "JPEG", quality=95)
    np.testing.assert_allclose(np.asarray(decode(data)).astype(int), np.asarray(flat), atol=6)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
JPEG = saved(NOISE, "JPEG")
PNG = saved(NOISE)
PIXELS, END = chunk(b"IDAT", zlib.compress(bytes(20))), chunk(b"IEND", b"")


def zipped(kind: bytes, head: bytes, size: int = 64 << 20) -> bytes:
    """A chunk of a few KB that unpacks to so many bytes."""
    return chunk(kind, head + zlib.compress(bytes(size), 9))


BOMB_TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(8 << 20), 9))
BAD = {
    "no bytes": (b"", "0 bytes"),
    "text": (b"these are not pixels\n" * 40, "got text"),
    "other bytes": (bytes(range(200, 256)), "bytes that begin with c8 c9"),
    "an archive": (b"PK\x03\x04" + bytes(100), "bytes that begin with 50 4b"),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "JPEG cut in its header": (JPEG[:20], "truncated or broken"),
    "truncated PNG": (PNG[: len(PNG) // 2], "truncated"),
    "truncated WebP": (saved(NOISE, "WEBP")[:200], "broken"),
    "truncated GIF": (saved(Image.fromarray(NOISE).quantize(64), "GIF")[:900], "truncated"),
    "truncated BMP": (saved(NOISE, "BMP")[:500], "truncated"),
    "truncated TIFF": (saved(NOISE, "TIFF", compression="tiff_lzw")[:600], "broken"),
    "PNG with broken pixels": (png(header(64, 64), chunk(b"IDAT", b"\x00" * 64), chunk(b"IEND", b"")), "broken"),
    "PNG with text that unpacks to 8 MB": (png(header(4, 4), BOMB_TEXT, chunk(b"IEND", b"")), "broken"),
    "PNG with a text that unpacks": (png(header(4, 4), zipped(b"zTXt", b"a\0\0"), END), "its metadata unpack"),
    "PNG with an international text that unpacks": (
        png(header(4, 4), zipped(b"iTXt", b"a\0\1\0\0\0"), END),
        "its metadata unpack",
    ),
    "PNG with a profile that unpacks": (png(header(4, 4), zipped(b"iCCP", b"a\0\0"), END), "its metadata unpack"),
    "PNG with a text behind its pixels that unpacks": (
        png(header(4, 4), PIXELS, zipped(b"zTXt", b"a\0\0"), END),
        "its metadata unpack",
    ),
    "PNG with many texts that unpack": (
        png(header(4, 4), *[zipped(b"zTXt", b"a%d\0\0" % at, (1 << 20) - 9) for at in range(70)], PIXELS, END),
        "its metadata unpack",
    ),
    "GIF without a picture": (b"GIF89a\4\0\4\0\0\0\0;", "truncated or broken"),
    "text that is named as a picture": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "got text"),
    "PNG that is a header only": (png(header(4, 4)), "broken"),
    "TIFF of NaN": (saved(np.full((2, 2), np.nan, np.float32), "TIFF"), "NaN"),
    "EPS, which Pillow hands to a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "got text"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_decoded_is_refused_with_its_reason(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(DataError, match=reason) as caught:
        decode(data)
    assert type(caught.value) is DataError
    assert caught.value.fix


def test_an_absurd_size_is_refused_from_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = png(header(20_000, 20_000), chunk(b"IDAT", zlib.compress(bytes(10_000))), chunk(b"IEND", b""))

    def never(_: object) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", never)
    with pytest.raises(TooLargeError, match=r"100,000,000 pixels.*20,000 x 20,000"):
        decode(bomb)
    with pytest.raises(TooLargeError, match="20,000 x 20,000"):
        probe(bomb)


def test_a_file_larger_than_any_picture_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", len(PNG) - 1)
    with pytest.raises(TooLargeError, match="expected a file of at most 0 MB"):
        decode(PNG)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_damaged_bytes_give_a_picture_or_a_data_error_and_nothing_else(name: str) -> None:
    whole = saved(Image.fromarray(NOISE[:16, :16]), name)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 8):
            damaged[place] = rng.integers(0, 256)
        try:
            outcomes.add(decode(bytes(damaged), max_pixels=1_000_000).mode)
        except DataError as error:
            outcomes.add(type(error).__name__)
    assert outcomes <= {"RGB", "DataError", "TooLargeError"}
    assert "DataError" in outcomes


def test_max_pixels_is_the_only_limit() -> None:
    flat = saved(Image.new("1", (20_000, 10_000)))  # more than Pillow's own limit of 2 x 89 million
    assert probe(flat, max_pixels=200_000_000) == ImageInfo(20_000, 10_000, "1", "PNG", 1)
    with pytest.raises(TooLargeError, match="1,000 pixels"):
        probe(saved(RAMP.repeat(4, axis=0).repeat(4, axis=1)), max_pixels=1000)
    assert decode(saved(RAMP), max_pixels=RAMP.shape[0] * RAMP.shape[1]).size == (8, 12)


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    """Each scan costs a few bytes, and a walk through the whole picture."""
    whole = saved(Image.new("L", (64, 64)), "JPEG", progressive=True)
    assert decode(whole).size == (64, 64)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(TooLargeError, match="at most 100 scans at 64 x 64 pixels, got"):
        decode(whole[:-2] + last * 100 + whole[-2:])


PROBED = {
    "JPEG": (JPEG, ImageInfo(64, 64, "RGB", "JPEG", 1)),
    "PNG without its pixels": (PNG[:100], ImageInfo(64, 64, "RGB", "PNG", 1)),
    "16 bits": (saved(WIDE), ImageInfo(4, 1, "I;16", "PNG", 1)),
    "GIF": (EXACT["animated GIF"][0], ImageInfo(8, 12, "P", "GIF", 2)),
    "WebP": (EXACT["animated WebP"][0], ImageInfo(8, 12, "RGB", "WEBP", 3)),
    "TIFF": (EXACT["pages of a TIFF"][0], ImageInfo(8, 12, "RGB", "TIFF", 2)),
    "turned": (saved(np.rot90(RAMP), exif=exif(6)), ImageInfo(8, 12, "RGB", "PNG", 1)),
}


@pytest.mark.parametrize("name", PROBED)
def test_probe_reads_the_header(name: str) -> None:
    data, expected = PROBED[name]
    assert probe(data) == expected


def test_broken_exif_does_not_cost_the_picture() -> None:
    data = saved(RAMP, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(30))
    assert decode(data).size == (8, 12)


def test_many_threads_decode_alike() -> None:
    items = [EXACT["rgb"][0], EXACT["grey of 16 bits"][0], PNG] * 40
    with ThreadPoolExecutor(4) as pool:
        sizes = [image.size for image in pool.map(decode, items)]
    assert sizes == [(8, 12), (4, 1), (64, 64)] * 40
