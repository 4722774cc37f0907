"""Whatever the bytes are, a bundle is read or refused as one; no other exception comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from trunkline.core.digest import canonical_json
from trunkline.core.errors import BundleError, TrunklineError
from trunkline.core.types.bundle import Bundle
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.archive import read_archive

Reseal = Callable[[Mapping[str, bytes]], bytes]


def outcome(data: bytes) -> Bundle | TrunklineError:
    """A bundle or a refusal; any other exception goes through."""
    try:
        return bundles.read(data)
    except BundleError as error:
        return error


EDITS = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def spliced(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, new in edits:
        start = place % (len(data) + 1)
        data = data[:start] + new + data[start + length :]
    return data


@limits(max_examples=150, deadline=None, derandomize=True, database=None)
@given(edits=EDITS)
def test_any_edited_file_is_refused_as_a_bundle(sealed: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    data = spliced(sealed, edits)
    assert isinstance(outcome(data), BundleError) == (data != sealed)


@limits(max_examples=150, deadline=None, derandomize=True, database=None)
@given(name=st.sampled_from(["bundle.json", "head.safetensors", "report.json"]), edits=EDITS)
def test_any_edited_member_that_is_signed_again_is_read_or_refused(
    sealed: bytes, reseal: Reseal, name: str, edits: list[tuple[int, int, bytes]]
) -> None:
    assert isinstance(outcome(reseal({name: spliced(read_archive(sealed)[name], edits)})), (Bundle, BundleError))


@limits(max_examples=150, deadline=None, derandomize=True, database=None)
@given(key=st.sampled_from(sorted(bundles.Manifest.model_fields)), value=VALUES)
def test_any_value_that_is_signed_is_read_or_refused(
    reseal: Reseal, manifest: dict[str, Any], key: str, value: Any
) -> None:
    data = reseal({"bundle.json": canonical_json({**manifest, key: value})})
    assert isinstance(outcome(data), (Bundle, BundleError))
