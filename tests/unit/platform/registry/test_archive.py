"""The archive: its bytes follow from its members, and it is read whole or not at all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import BundleError
from trunkline.platform.registry import archive
from trunkline.platform.registry.archive import LIMITS, first_member, read_archive, write_archive

MEMBERS = {
    "bundle.json": b'{"a":1}',
    "head.safetensors": b"\0\1\2",
    "preview.png": b"\x89PNG",
    "report.json": b"{}",
    "signature": b"s",
}
PACKED = write_archive(MEMBERS)
LOCAL_HEADER = 30


def zipped(compression: int, names: tuple[str, ...] = tuple(LIMITS)) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as packed:
        for name in names:
            packed.writestr(zipfile.ZipInfo(name), MEMBERS.get(name, b"x"), compression)
    return stream.getvalue()


def swapped() -> bytes:
    """The first two members the other way round, each still well formed."""
    first = LOCAL_HEADER + len("bundle.json") + len(MEMBERS["bundle.json"])
    second = first + LOCAL_HEADER + len("head.safetensors") + len(MEMBERS["head.safetensors"])
    return PACKED[first:second] + PACKED[:first] + PACKED[second:]


def test_bytes_follow_from_members_alone() -> None:
    assert write_archive(dict(reversed(MEMBERS.items()))) == PACKED
    assert digest_bytes(PACKED) == "ac729a76512fb6eb90ff58392fbd92c8a7767423f2ca5147ac4795a42710b48f", (
        "bundles of older versions must keep their bytes"
    )


def test_any_zip_tool_reads_it() -> None:
    with zipfile.ZipFile(io.BytesIO(PACKED)) as packed:
        assert packed.testzip() is None
        assert {info.filename: packed.read(info) for info in packed.infolist()} == MEMBERS
        assert {(info.date_time, info.compress_type, info.extra) for info in packed.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED, b"")
        }


@pytest.mark.parametrize("names", [tuple(LIMITS), ("bundle.json", "head.safetensors"), ("signature",)])
def test_what_was_written_is_read(names: tuple[str, ...]) -> None:
    members = {name: MEMBERS[name] for name in names}
    assert read_archive(write_archive(members)) == members


def accepted(data: bytes) -> bool:
    try:
        read_archive(data)
    except BundleError:
        return False
    return True


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_changed_byte_is_refused(mask: int) -> None:
    places = range(len(PACKED))
    assert [i for i in places if accepted(PACKED[:i] + bytes([PACKED[i] ^ mask]) + PACKED[i + 1 :])] == []


def test_every_truncation_is_refused() -> None:
    assert [length for length in range(len(PACKED)) if accepted(PACKED[:length])] == []


def test_every_missing_or_doubled_byte_is_refused() -> None:
    places = range(len(PACKED))
    assert [i for i in places if accepted(PACKED[:i] + PACKED[i + 1 :])] == []
    assert [i for i in places if accepted(PACKED[: i + 1] + PACKED[i:])] == []


@pytest.mark.parametrize(
    ("make_data", "message"),
    [
        (lambda: b"", "expected a Trunkline bundle"),
        (lambda: b"\x1f\x8b junk", "expected a Trunkline bundle"),
        (lambda: write_archive({}), "expected a Trunkline bundle"),
        (lambda: b"MZ" + PACKED, "expected a Trunkline bundle"),
        (lambda: PACKED + b"\0", "packed by another tool"),
        (lambda: PACKED + PACKED, "packed by another tool"),
        (swapped, "in this order"),
        (lambda: zipped(zipfile.ZIP_STORED), "packed by another tool"),
        (lambda: zipped(zipfile.ZIP_DEFLATED), "packed by another tool"),
        (lambda: zipped(zipfile.ZIP_STORED, ("bundle.json", "run.py")), "got 'run.py'"),
        (lambda: zipped(zipfile.ZIP_STORED, ("bundle.json", "../signature")), "got '../signature'"),
    ],
)
def test_other_archives_are_refused(make_data: Callable[[], bytes], message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        read_archive(make_data(), where="x.tlb")
    assert (caught.value.where, caught.value.exit_status) == ("x.tlb", 2)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused() -> None:
    with pytest.raises(BundleError, match="in this order"):
        read_archive(zipped(zipfile.ZIP_STORED, ("bundle.json", "bundle.json")))


def test_a_member_that_is_not_known_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"got \['run.py'\]"):
        write_archive({"run.py": b""})


def test_members_over_their_limits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {**LIMITS, "preview.png": 3}
    with pytest.raises(BundleError, match=r"at most 3 bytes in preview.png, got 4"):
        write_archive(MEMBERS, small)
    with pytest.raises(BundleError, match=r"at most 3 bytes in preview.png, got 4"):
        read_archive(PACKED, small)
    monkeypatch.setattr(archive, "_HEADERS", 0)
    least = {name: len(data) for name, data in MEMBERS.items()}
    with pytest.raises(BundleError, match=f"at most {sum(least.values())} bytes, got {len(PACKED)}"):
        read_archive(PACKED, least)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (PACKED, MEMBERS["bundle.json"]),
        (PACKED[:-40], MEMBERS["bundle.json"]),
        (swapped(), b""),
        (b"PK\x03\x04", b""),
        (b"", b""),
    ],
)
def test_first_member(data: bytes, found: bytes) -> None:
    assert first_member(data, "bundle.json") == found
