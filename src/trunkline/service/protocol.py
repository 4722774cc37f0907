"""The Open Inference Protocol (KServe v2) with its binary tensor extension: bytes in, a request out.

Pure: no socket, no model, nothing decoded but JSON and base64. Requests come from outside and are hostile; what is not
as the protocol says is refused with the place where it stands, and no request makes more of itself in memory than its
own size a few times over. The protocol: https://github.com/kserve/open-inference-protocol; the extension:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import DataError
from trunkline.core.text import cut

if TYPE_CHECKING:
    import numpy as np

IMAGE, PIXELS = "image", "pixels"
DATATYPES = {IMAGE: "BYTES", PIXELS: "UINT8"}
"""The inputs of every model; a request brings one of them."""
SIZE, BINARY, BINARY_ALL = "binary_data_size", "binary_data", "binary_data_output"
_SHAPES = {IMAGE: "[n]", PIXELS: "[n, height, width, 3]"}
_MARKS = {b",": 4_000_000, b"[": 1_000_000, b"{": 100_000, b'"': 100_000}
"""Most of each in the JSON part: a list of two bytes in JSON takes 64 in memory."""
_LONGEST_ID = 1_000
_LONGEST_SIDE = 1 << 31  # above, the number of pixels would be too long to be told
_LENGTH = struct.Struct("<I")
_REFUSED = ("shared_memory_region", "classification")
"""Parameters of Triton's extensions that change what an answer is, and are not known here."""


@dataclass(frozen=True)
class Wanted:
    """One output that a request asks for, and whether as binary data."""

    name: str
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    """What a request asks.

    Attributes:
        id: As it came; "" for none.
        pictures: Encoded images, or RGB pixels of shape (height, width, 3) uint8.
        outputs: The outputs asked for, in their order; empty: all.
        binary: Whether outputs come as binary data where `outputs` does not say it.
    """

    id: str
    pictures: tuple[bytes | np.ndarray, ...]
    outputs: tuple[Wanted, ...]
    binary: bool


def decode(body: bytes | bytearray, header_length: str | None, *, most: int) -> InferRequest:
    """Read a request.

    Args:
        body: The body, whole.
        header_length: The header `Inference-Header-Content-Length`: bytes of the JSON part; None when all is JSON.
        most: Images that one request may bring.

    Raises:
        DataError: When it is not what the protocol says, naming the place.
    """
    view = memoryview(body)
    length = _header_length(header_length, len(view))
    head = read_object(bytes(view[:length]), "the JSON part" if header_length is not None else "the body")
    parameters = _parameters(head, "parameters")
    inputs = _list(head, "inputs")
    if len(inputs) != 1:
        raise DataError(f"expected one input, {IMAGE!r} or {PIXELS!r}, got {len(inputs)}", where="inputs")
    pictures = _pictures(_mapping(inputs[0], "inputs[0]"), view[length:], most)
    binary = _flag(parameters, BINARY_ALL, "parameters", default=False)
    return InferRequest(_id(head), pictures, _outputs(head, binary), binary)


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object from outside, with finite numbers only.

    Raises:
        DataError: When it is none.
    """
    for mark, most in _MARKS.items():
        if data.count(mark) > most:
            raise DataError(
                f"expected at most {most:,} of {mark.decode()!r} in JSON, got more",
                where=what,
                fix="send large tensors as binary data (Inference-Header-Content-Length)",
            )
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_not_finite, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise DataError(f"expected JSON in UTF-8, got a byte that is none at {error.start}", where=what) from error
    except (ValueError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else cut(str(error), 200)
        raise DataError(f"expected JSON, cannot be read: {said}", where=what) from error
    return dict(_mapping(value, what))


def _not_finite(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{cut(text)} is too large a number")
    return value


def _header_length(text: str | None, size: int) -> int:
    where = "Inference-Header-Content-Length"
    if text is None:
        return size
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise DataError(f"expected a number of bytes, got {cut(text)!r}", where=where)
    if int(text) > size:
        raise DataError(f"expected at most the {size} bytes of the body, got {int(text)}", where=where)
    return int(text)


def _pictures(tensor: Mapping[str, Any], tail: memoryview, most: int) -> tuple[bytes | np.ndarray, ...]:
    """The images that the one input brings."""
    where = "inputs[0]"
    name = _text(tensor, "name", where)
    if name not in DATATYPES:
        raise DataError(f"expected {IMAGE!r} or {PIXELS!r}, got {cut(name)!r}", where=f"{where}.name")
    datatype = _text(tensor, "datatype", where)
    if datatype != DATATYPES[name]:
        raise DataError(f"expected {DATATYPES[name]}, got {cut(datatype)!r}", where=f"{where}.datatype")
    shape = _shape(tensor, name, most)
    size = _parameters(tensor, where).get(SIZE)
    if size is None:
        if tail:
            raise DataError(f"expected no more than the JSON part, got {len(tail)} bytes more", where="the body")
        data = _list(tensor, "data", where)
        return _encoded(data, shape[0]) if name == IMAGE else _from_numbers(data, shape)
    if "data" in tensor:
        raise DataError(f"expected data or {SIZE}, got both", where=where)
    if not _whole(size) or size != len(tail):
        raise DataError(
            f"expected the {len(tail)} bytes that follow the JSON part, got {cut(repr(size))}",
            where=f"{where}.parameters.{SIZE}",
        )
    return _elements(tail, shape[0]) if name == IMAGE else _from_bytes(tail, shape)


def _shape(tensor: Mapping[str, Any], name: str, most: int) -> tuple[int, ...]:
    shape, where = _list(tensor, "shape", "inputs[0]"), "inputs[0].shape"
    rank = 1 if name == IMAGE else 4
    if (
        len(shape) != rank
        or not all(_whole(side) and 0 < side <= _LONGEST_SIDE for side in shape)
        or (rank == 4 and shape[3] != 3)
    ):
        raise DataError(f"expected {_SHAPES[name]} of whole numbers from 1, got {cut(repr(shape))}", where=where)
    if shape[0] > most:
        raise DataError(f"expected at most {most} images in one request, got {cut(repr(shape[0]))}", where=where)
    return tuple(shape)


def _encoded(data: Sequence[Any], count: int) -> tuple[bytes, ...]:
    """Images from base64 in JSON."""
    if len(data) != count:
        raise DataError(f"expected {count} images as the shape says, got {len(data)}", where="inputs[0].data")
    images = []
    for number, text in enumerate(data):
        where = f"inputs[0].data[{number}]"
        if not isinstance(text, str):
            raise DataError(f"expected base64 text, got {type(text).__name__}", where=where)
        try:
            images.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise DataError(
                f"expected base64 text: {error}", where=where, fix="or send the image's bytes as binary data"
            ) from error
    return tuple(images)


def _elements(tail: memoryview, count: int) -> tuple[bytes, ...]:
    """Images from binary data: for each its length, 4 bytes, little-endian, and its bytes."""
    images, at = [], 0
    for number in range(count):
        start = at + _LENGTH.size
        at = start + (_LENGTH.unpack_from(tail, at)[0] if start <= len(tail) else 0)
        if not start <= at <= len(tail):
            raise DataError(
                f"expected {count} images, each after its length in 4 bytes; the data end in image {number}",
                where="inputs[0]",
            )
        images.append(bytes(tail[start:at]))
    if at != len(tail):
        raise DataError(f"expected {count} images in {at} bytes, got {len(tail)} bytes", where="inputs[0]")
    return tuple(images)


def _from_bytes(tail: memoryview, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    import numpy as np

    if math.prod(shape) != len(tail):
        raise DataError(f"expected {math.prod(shape)} bytes as the shape says, got {len(tail)}", where="inputs[0]")
    return tuple(np.frombuffer(tail, np.uint8).reshape(shape))


def _from_numbers(data: list[Any], shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    import numpy as np

    where = "inputs[0].data"
    try:
        values = np.asarray(data) if _whole_numbers(data) else None
    except (ValueError, OverflowError) as error:
        raise DataError("expected a list of numbers, flat or nested as the shape", where=where) from error
    if (
        values is None
        or values.dtype.kind not in "iu"
        or (values.size and not 0 <= values.min() <= values.max() <= 255)
    ):
        raise DataError("expected whole numbers from 0 to 255", where=where)
    if values.shape not in (shape, (math.prod(shape),)):
        raise DataError(
            f"expected {math.prod(shape)} numbers as the shape says, got a list of shape {list(values.shape)}",
            where=where,
        )
    return tuple(values.astype(np.uint8).reshape(shape))


def _whole_numbers(data: list[Any], depth: int = 4) -> bool:
    """Whether lists hold whole numbers alone; NumPy would make of one long text a text of that length for each."""
    kinds = set(map(type, data))
    if kinds <= {int}:
        return True
    return kinds == {list} and depth > 1 and all(_whole_numbers(part, depth - 1) for part in data)


def _outputs(head: Mapping[str, Any], binary: bool) -> tuple[Wanted, ...]:
    if "outputs" not in head:
        return ()
    wanted, names = [], set()
    for number, one in enumerate(_list(head, "outputs")):
        where = f"outputs[{number}]"
        row = _mapping(one, where)
        parameters = _parameters(row, where)
        wanted.append(Wanted(_text(row, "name", where), _flag(parameters, BINARY, where, default=binary)))
        names.add(wanted[-1].name)
        if len(wanted) != len(names):
            raise DataError(f"expected each output once, got {cut(wanted[-1].name)!r} twice", where=where)
    return tuple(wanted)


def _id(head: Mapping[str, Any]) -> str:
    value = head.get("id", "")
    if not isinstance(value, str) or len(value) > _LONGEST_ID:
        raise DataError(f"expected a text of at most {_LONGEST_ID} characters, got {cut(repr(value))}", where="id")
    return value


def _parameters(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    place = where if where == "parameters" else f"{where}.parameters"
    parameters = _mapping(row.get("parameters", {}), place)
    for name in _REFUSED:
        if name in parameters:
            raise DataError(f"the parameter {name!r} is not known to this server", where=place, fix="ask without it")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise DataError(f"expected true or false, got {cut(repr(value))}", where=f"{where}: {name}")
    return value


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"expected a JSON object, got {type(value).__name__}", where=where)
    return value


def _list(row: Mapping[str, Any], name: str, inside: str = "") -> list[Any]:
    value = row.get(name)
    if not isinstance(value, list):
        got = type(value).__name__ if name in row else "none"
        raise DataError(f"expected a list, got {got}", where=f"{inside}.{name}" if inside else name)
    return value


def _text(row: Mapping[str, Any], name: str, inside: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        got = type(value).__name__ if name in row else "none"
        raise DataError(f"expected a text, got {got}", where=f"{inside}.{name}")
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
