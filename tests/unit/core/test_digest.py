"""A digest names content; canonical JSON is the same bytes for the same value, whatever is in it."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.digest import canonical_json, digest_bytes, digest_file, digest_json, json_ready, short

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"b": 1, "a": [True, None]}, b'{"a":[true,null],"b":1}'),
        ("Teil é 😀", '"Teil é 😀"'.encode()),
        ("not UTF-8: \udce9", b'"not UTF-8: \\udce9"'),
        ("backslash \\udce9", b'"backslash \\\\udce9"'),
        ((1, 2.5, 1e-9), b"[1,2.5,1e-09]"),
    ],
)
def test_canonical_json(value: Any, data: bytes) -> None:
    made = canonical_json(value)
    assert made == data
    assert json.loads(made) == json.loads(json.dumps(value))


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf]])
def test_canonical_json_has_no_words_for_nan(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_canonical_json_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        canonical_json({1, 2})


def test_order_of_keys_does_not_change_a_digest_and_order_of_items_does() -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    assert digest_json([1, 2]) != digest_json([2, 1])


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert digest_file(path) == digest_bytes(data) == hashlib.sha256(data).hexdigest()


def test_known_digests() -> None:
    assert (digest_bytes(b""), digest_bytes(memoryview(b"")), short(EMPTY)) == (EMPTY, EMPTY, "e3b0c44298fc")


def test_json_ready_has_none_where_nothing_was_measured() -> None:
    value = {"a": math.nan, "b": [1.0, -math.inf, {"c": math.inf}], "d": (1, "x", None, True)}
    assert json_ready(value) == {"a": None, "b": [1.0, None, {"c": None}], "d": [1, "x", None, True]}
