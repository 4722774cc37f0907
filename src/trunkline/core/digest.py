"""Content digests: SHA-256 over bytes, files and canonical JSON.

A digest names content, never a place: paths, times and key order do not change it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def digest_bytes(data: bytes | memoryview) -> str:
    """SHA-256 of bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content as 64 hex digits, read in chunks of 1 MiB."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8; the same value gives the same bytes.

    File names that are not UTF-8 come from Python with lone surrogates; those are written as JSON's own escapes, so
    that such a name neither stops a build nor makes a file that others cannot read.

    Raises:
        ValueError: On NaN or infinity, which JSON has no words for.
        TypeError: On a type that JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def json_ready(value: Any) -> Any:
    """The same value with None for NaN and infinity, which JSON has no words for: a figure that was not measured."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: json_ready(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(one) for one in value]
    return value


def digest_json(value: Any) -> str:
    """SHA-256 of `canonical_json` as 64 hex digits."""
    return digest_bytes(canonical_json(value))


def short(digest: str, length: int = 12) -> str:
    """The first digits of a digest, for people."""
    return digest[:length]
