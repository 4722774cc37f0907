"""The request decoder: what the protocol says is read, all else refused with its place, and nothing else happens."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.core.errors import DataError
from trunkline.service.protocol import InferRequest, Wanted, decode

MOST = 4


def image(*data: str, **more: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [len(data)], "datatype": "BYTES", "data": list(data), **more}


def pixels(shape: list[Any], data: Any, **more: Any) -> dict[str, Any]:
    return {"name": "pixels", "shape": shape, "datatype": "UINT8", "data": data, **more}


def body(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def with_tail(tensor: dict[str, Any], tail: bytes, **more: Any) -> tuple[bytes, str]:
    """A request whose tensor comes as binary data."""
    row = {key: value for key, value in tensor.items() if key != "data"}
    head = body({"parameters": {"binary_data_size": len(tail)}, **row}, **more)
    return head + tail, str(len(head))


def elements(*data: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in data)


def test_images_as_base64() -> None:
    text = base64.b64encode(b"one").decode()
    request = decode(body(image(text, ""), id="a"), None, most=MOST)
    assert request == InferRequest("a", (b"one", b""), (), False)


def test_images_as_binary_data() -> None:
    data, length = with_tail(image("", ""), elements(b"one", b"\0two"))
    assert decode(data, length, most=MOST) == InferRequest("", (b"one", b"\0two"), (), False)


@pytest.mark.parametrize("data", [list(range(12)), [[[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]]])
def test_pixels_flat_or_nested(data: Any) -> None:
    (picture,) = decode(body(pixels([1, 2, 2, 3], data)), None, most=MOST).pictures
    assert np.array_equal(picture, np.arange(12, dtype=np.uint8).reshape(2, 2, 3))


def test_pixels_as_binary_data() -> None:
    values = np.arange(36, dtype=np.uint8).reshape(2, 3, 2, 3)
    data, length = with_tail(pixels([2, 3, 2, 3], []), values.tobytes())
    pictures = decode(data, length, most=MOST).pictures
    assert np.array_equal(np.stack(pictures), values)


def test_outputs_say_themselves_whether_they_are_binary() -> None:
    asked = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "scores"}]
    request = decode(body(image(""), outputs=asked, parameters={"binary_data_output": True}), None, most=MOST)
    assert (request.outputs, request.binary) == ((Wanted("label", False), Wanted("scores", True)), True)


BAD = {
    "no JSON": (b"{", "the body: expected JSON"),
    "no UTF-8": (b'{"id": "\xff"}', "the body: expected JSON in UTF-8"),
    "a list": (b"[]", "the body: expected a JSON object, got list"),
    "NaN": (b'{"inputs": [NaN]}', "the body: expected JSON, cannot be read: NaN"),
    "Infinity": (b'{"x": -Infinity}', "the body: expected JSON, cannot be read: -Infinity"),
    "1e999": (b'{"x": 1e999}', "the body: expected JSON, cannot be read: 1e999"),
    "deep": (b'{"inputs": ' + b"[" * 100_000, "the body: expected JSON, cannot be read: nested too deep"),
    "long number": (b'{"x": ' + b"9" * 9_999 + b"}", "the body: expected JSON, cannot be read: Exceeds the limit"),
    "many lists": (b"[]," * 1_000_001, "the body: expected at most 1,000,000 of '['"),
    "many numbers": (b"1," * 4_000_001, "the body: expected at most 4,000,000 of ','"),
    "many texts": (b'"",' * 50_001, "the body: expected at most 100,000 of '\"'"),
    "no inputs": (b"{}", "inputs: expected a list, got none"),
    "no input": (body(), "inputs: expected one input"),
    "two inputs": (body(image(""), image("")), "inputs: expected one input"),
    "input is text": (body("image"), "inputs[0]: expected a JSON object, got str"),
    "unknown input": (body({**image(""), "name": "x"}), "inputs[0].name: expected 'image' or 'pixels', got 'x'"),
    "no name": (body({"shape": [1]}), "inputs[0].name: expected a text, got none"),
    "wrong datatype": (body({**image(""), "datatype": "FP32"}), "inputs[0].datatype: expected BYTES, got 'FP32'"),
    "no shape": (body({"name": "image", "datatype": "BYTES"}), "inputs[0].shape: expected a list, got none"),
    "wrong rank": (body({**image(""), "shape": [1, 1]}), "inputs[0].shape: expected [n] of whole numbers"),
    "no image": (body(image()), "inputs[0].shape: expected [n] of whole numbers from 1, got [0]"),
    "negative": (body({**image(""), "shape": [-1]}), "inputs[0].shape: expected [n]"),
    "true": (body({**image(""), "shape": [True]}), "inputs[0].shape: expected [n]"),
    "too many": (body(image(*[""] * 5)), "inputs[0].shape: expected at most 4 images in one request, got 5"),
    "four channels": (body(pixels([1, 1, 1, 4], [1] * 4)), "inputs[0].shape: expected [n, height, width, 3]"),
    "less than said": (body({**image(""), "shape": [2]}), "inputs[0].data: expected 2 images"),
    "no data": (body({"name": "image", "datatype": "BYTES", "shape": [1]}), "inputs[0].data: expected a list"),
    "number for image": (body(image(7)), "inputs[0].data[0]: expected base64 text, got int"),  # type: ignore[arg-type]
    "no base64": (body(image("%")), "inputs[0].data[0]: expected base64 text"),
    "no ASCII": (body(image("é")), "inputs[0].data[0]: expected base64 text"),
    "pixels too few": (body(pixels([1, 1, 1, 3], [1, 2])), "inputs[0].data: expected 3 numbers"),
    "pixels wrong shape": (body(pixels([1, 1, 2, 3], [[1, 2, 3], [4, 5, 6]])), "inputs[0].data: expected 6 numbers"),
    "pixels ragged": (body(pixels([1, 1, 1, 3], [[1], [2, 3]])), "inputs[0].data: expected a list of numbers"),
    "pixels of 256": (body(pixels([1, 1, 1, 3], [1, 2, 256])), "inputs[0].data: expected whole numbers from 0 to 255"),
    "pixels of 2^70": (body(pixels([1, 1, 1, 3], [1, 2, 2**70])), "inputs[0].data: expected"),
    "pixels below 0": (body(pixels([1, 1, 1, 3], [1, 2, -1])), "inputs[0].data: expected whole numbers"),
    "pixels of 0.5": (body(pixels([1, 1, 1, 3], [1, 2, 0.5])), "inputs[0].data: expected whole numbers"),
    "pixels of text": (body(pixels([1, 1, 1, 3], ["1", "2", "3"])), "inputs[0].data: expected whole numbers"),
    "pixels of truth": (body(pixels([1, 1, 1, 3], [True, True, False])), "inputs[0].data: expected whole numbers"),
    "long text among pixels": (
        body(pixels([1, 1, 1, 3], ["x" * 100_000, *([1] * 200_000)])),
        "inputs[0].data: expected whole numbers",
    ),
    "side of 4,000 digits": (body(pixels([1, 10**4000, 10**4000, 3], [1])), "inputs[0].shape: expected [n, height,"),
    "huge shape": (body(pixels([1, 10**9, 10**9, 3], [1])), "inputs[0].data: expected 3000000000000000000 numbers"),
    "id is a number": (body(image(""), id=7), "id: expected a text"),
    "id is long": (body(image(""), id="x" * 1_001), "id: expected a text of at most 1000"),
    "outputs no list": (body(image(""), outputs={}), "outputs: expected a list, got dict"),
    "output twice": (body(image(""), outputs=[{"name": "label"}] * 2), "outputs[1]: expected each output once"),
    "output no name": (body(image(""), outputs=[{}]), "outputs[0].name: expected a text"),
    "no truth": (body(image(""), parameters={"binary_data_output": 1}), "parameters: binary_data_output: expected"),
    "classification": (
        body(image(""), outputs=[{"name": "label", "parameters": {"classification": 3}}]),
        "outputs[0].parameters: the parameter 'classification' is not known",
    ),
    "shared memory": (
        body(image("", parameters={"shared_memory_region": "x"})),
        "inputs[0].parameters: the parameter 'shared_memory_region' is not known",
    ),
}


@pytest.mark.parametrize(("data", "said"), BAD.values(), ids=BAD)
def test_what_is_not_as_the_protocol_says(data: bytes, said: str) -> None:
    with pytest.raises(DataError) as refused:
        decode(data, None, most=MOST)
    assert str(refused.value).startswith(said)


BAD_TAILS = {
    "tail without JSON": (b"x", "2", "Inference-Header-Content-Length: expected at most the 1 bytes"),
    "no number": (b"{}", "-1", "Inference-Header-Content-Length: expected a number"),
    "long number": (b"{}", "9" * 99, "Inference-Header-Content-Length: expected a number"),
    "nothing says the tail": (body(image("")) + b"x", str(len(body(image("")))), "the body: expected no more than"),
    "size differs": (*with_tail(image("", parameters={"binary_data_size": 5}), b"abc"), "inputs[0].parameters"),
    "torn length": (*with_tail(image(""), b"\1\0\0"), "inputs[0]: expected 1 images, each after its length"),
    "torn image": (*with_tail(image(""), b"\2\0\0\0x"), "inputs[0]: expected 1 images, each after its length"),
    "one more": (*with_tail(image(""), elements(b"x", b"y")), "inputs[0]: expected 1 images in 5 bytes, got 10"),
    "pixels too few": (*with_tail(pixels([1, 1, 1, 3], []), b"ab"), "inputs[0]: expected 3 bytes"),
}


@pytest.mark.parametrize(("data", "length", "said"), BAD_TAILS.values(), ids=BAD_TAILS)
def test_binary_data_that_do_not_fit(data: bytes, length: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        decode(data, length, most=MOST)
    assert str(refused.value).startswith(said)


def test_data_and_size_are_too_much() -> None:
    with pytest.raises(DataError, match="got both"):
        decode(body(image("", parameters={"binary_data_size": 0})), None, most=MOST)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["image", "pixels"]) | JSON,
        "datatype": st.sampled_from(["BYTES", "UINT8"]) | JSON,
        "shape": st.lists(st.integers(-1, 4), max_size=5) | JSON,
        "data": st.lists(st.integers(-1, 300) | st.just("eHg="), max_size=20) | JSON,
        "parameters": st.dictionaries(st.just("binary_data_size"), st.integers(-1, 40)) | JSON,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(FIELDS | JSON, min_size=1, max_size=1) | JSON},
    optional={"id": JSON, "outputs": st.lists(st.fixed_dictionaries({"name": JSON})) | JSON, "parameters": JSON},
)


@settings(max_examples=150, deadline=None)
@given(request=REQUESTS | JSON, tail=st.binary(max_size=40))
def test_any_request_is_read_or_refused(request: Any, tail: bytes) -> None:
    head = json.dumps(request).encode()
    try:
        read = decode(head + tail, str(len(head)), most=MOST)
    except DataError as error:
        assert error.where
    else:
        assert 1 <= len(read.pictures) <= MOST


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), length=st.none() | st.text(max_size=4))
def test_any_bytes_are_read_or_refused(data: bytes, length: str | None) -> None:
    with pytest.raises(DataError):
        decode(data, length, most=MOST)
