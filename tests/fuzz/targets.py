"""What is fuzzed: each target takes bytes from outside, and whatever they are, only its own refusal may come out.

A target is a function of bytes and a list of seeds, bytes that it takes as they are.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.unit.platform.registry.conftest import make_bundle
from trunkline.algorithms.trunks import TrunkCard
from trunkline.core.errors import BundleError, DataError, InputError
from trunkline.core.images import decode as decode_image
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.archive import read_archive, write_archive
from trunkline.platform.registry.keys import SigningKey, signing_key
from trunkline.platform.registry.seals import check_signature, signed
from trunkline.platform.registry.trunk_file import LIMITS, export_trunk
from trunkline.service import protocol

_MOST_IMAGES = 64
_MEMBERS = ("bundle.json", "head.safetensors", "report.json")


@dataclass(frozen=True)
class Target:
    """One reader of bytes from outside.

    Attributes:
        run: Reads them; raises nothing when they are refused rightly.
        seeds: Makes inputs that it takes.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


@cache
def _key() -> SigningKey:
    with tempfile.TemporaryDirectory(prefix="trunkline-fuzz-") as home:
        return signing_key(Path(home))


@cache
def _sealed() -> bytes:
    with tempfile.TemporaryDirectory() as home:
        return make_bundle(Path(home))


@cache
def _trunk_file() -> bytes:
    with tempfile.TemporaryDirectory() as home:
        return export_trunk("test-trunk", Path(home)).read_bytes()


def bundle(data: bytes) -> None:
    """A bundle file: read to what was sealed, or refused."""
    try:
        bundles.read(data)
    except BundleError:
        return
    assert data == _sealed(), "bytes that nobody sealed were read"


def signed_bundle(data: bytes) -> None:
    """A bundle of which one member is hostile and signed by who made it: read or refused, never anything else."""
    name = _MEMBERS[data[0] % len(_MEMBERS)] if data else _MEMBERS[0]
    content = {**read_archive(_sealed()), name: data[1:]}
    del content["signature"]
    try:
        bundles.read(write_archive(signed(content, _key(), kind="bundle")))
    except BundleError:
        return


def _signed_bundle_seeds() -> list[bytes]:
    members = read_archive(_sealed())
    return [bytes([place]) + members[name] for place, name in enumerate(_MEMBERS)]


def trunk_file(data: bytes) -> None:
    """A trunk's file up to the point where its graphs would be run."""
    try:
        members = read_archive(data, LIMITS, what="trunk file")
        check_signature(members, kind="trunk", where=None)
    except BundleError:
        return
    assert data == _trunk_file(), "bytes that nobody signed were read"


def trunk_card(data: bytes) -> None:
    """A trunk's card from a signed file."""
    try:
        TrunkCard.from_json(json.loads(data))
    except (InputError, KeyError, TypeError, ValueError, RecursionError):  # what `import_trunk` refuses
        return


def request(data: bytes) -> None:
    """The body of a request; the first two bytes say how long its JSON part is, 0 that all is JSON."""
    length = int.from_bytes(data[:2], "little")
    try:
        asked = protocol.decode(data[2:], str(length) if length else None, most=_MOST_IMAGES)
    except DataError:
        return
    assert 0 < len(asked.pictures) <= _MOST_IMAGES
    assert sum(len(p) if isinstance(p, bytes) else p.nbytes for p in asked.pictures) <= len(data)


def _requests() -> list[bytes]:
    def body(tensor: dict[str, Any], tail: bytes = b"", **more: Any) -> bytes:
        head = json.dumps({"inputs": [tensor], **more}).encode()
        return (len(head) if tail else 0).to_bytes(2, "little") + head + tail

    picture = b"\x89PNG"
    tail = struct.pack("<I", len(picture)) + picture
    outputs = [{"name": "scores", "parameters": {"binary_data": True}}]
    size = {"binary_data_size": len(tail)}
    return [
        body({"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(picture).decode()]}),
        body({"name": "image", "datatype": "BYTES", "shape": [1], "parameters": size}, tail, id="a", outputs=outputs),
        body({"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 2, 3], "data": [0, 1, 2, 3, 4, 255]}),
        body({"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [[[[1, 2, 3]]]]}),
        body({"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "parameters": {"binary_data_size": 3}},
             b"abc", parameters={"binary_data_output": True}),
    ]  # fmt: skip


def image(data: bytes) -> None:
    """An image file: RGB pixels, or refused."""
    try:
        decoded = decode_image(data, max_pixels=1 << 20)
    except DataError:
        return
    assert decoded.mode == "RGB"


def _images() -> list[bytes]:
    from PIL import Image

    seeds = []
    for form in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"):
        stream = io.BytesIO()
        Image.new("RGB", (9, 7), (200, 30, 90)).save(stream, form)
        seeds.append(stream.getvalue())
    return seeds


TARGETS = {
    "bundle": Target(bundle, lambda: [_sealed()]),
    "signed-bundle": Target(signed_bundle, _signed_bundle_seeds),
    "trunk-file": Target(trunk_file, lambda: [_trunk_file()]),
    "trunk-card": Target(trunk_card, lambda: [read_archive(_trunk_file(), LIMITS)["card.json"]]),
    "request": Target(request, _requests),
    "image": Target(image, _images),
}
