"""Signatures inside archives: who vouches for the members of a bundle, or of a trunk's file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trunkline.core.digest import canonical_json, digest_bytes, digest_json
from trunkline.core.errors import BundleError
from trunkline.platform.registry.keys import SigningKey, verify

ALGORITHM = "ed25519"
MEMBER = "signature"
_FIELDS = ("algorithm", "public_key", "signature")


def content_digest(members: Mapping[str, bytes]) -> str:
    """SHA-256 over names and digests of all members but the signature."""
    return digest_json([[name, digest_bytes(members[name])] for name in sorted(members) if name != MEMBER])


def signed(content: Mapping[str, bytes], key: SigningKey, *, kind: str) -> dict[str, bytes]:
    """Members with their signature.

    Args:
        content: Members without it.
        key: Who signs.
        kind: What is signed, as "bundle": a signature over one kind never passes for another's.
    """
    row = {
        "algorithm": ALGORITHM,
        "public_key": key.public,
        "signature": key.sign(_message(kind, content_digest(content))),
    }
    return {**content, MEMBER: canonical_json(row)}


def check_signature(members: Mapping[str, bytes], *, kind: str, where: str | None) -> tuple[str, str]:
    """The digest of the content and the public key (hex) of who signed it.

    Raises:
        BundleError: When there is no signature, or none that fits.
    """
    again = f"get the {kind} again from where it was made; it is used whole or not at all"
    row = canonical_member(members, MEMBER, where, fix=again)
    if not isinstance(row, dict) or sorted(row) != list(_FIELDS) or not all(isinstance(v, str) for v in row.values()):
        raise BundleError("expected a signature of algorithm, public_key and signature", where=where, fix=again)
    algorithm, public, signature = (str(row[name]) for name in _FIELDS)
    if algorithm != ALGORITHM:
        raise BundleError(f"expected a signature by {ALGORITHM}, got one by {algorithm[:40]!r}", where=where, fix=again)
    digest = content_digest(members)
    if not verify(public, _message(kind, digest), signature):
        raise BundleError(f"the signature does not fit the content: the {kind} was changed", where=where, fix=again)
    return digest, public


def canonical_member(members: Mapping[str, bytes], name: str, where: str | None, *, fix: str) -> Any:
    """A member's JSON, which must be written in the one way that `canonical_json` writes it.

    Raises:
        BundleError: When it is not.
    """
    try:
        value = json.loads(members[name])
        canonical = canonical_json(value) == members[name]
    except (ValueError, RecursionError, KeyError):
        canonical = False
    if not canonical:
        raise BundleError(f"expected canonical JSON in {name}", where=where, fix=fix)
    return value


def _message(kind: str, digest: str) -> bytes:
    return f"trunkline {kind}\n{digest}".encode()
