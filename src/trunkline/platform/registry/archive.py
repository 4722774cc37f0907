"""The archive of a bundle (and of a trunk's file): a ZIP file whose every byte follows from its members.

Members are stored, in the order of their limits, dated 1980-01-01, without extra fields or comments. The writer is our
own because a bundle's bytes must not depend on the version of Python that wrote it; any ZIP tool reads the result.
The reader takes nothing on trust: it walks the members, writes them again and asks for the same bytes.

Layout: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from trunkline.core.errors import BundleError

LIMITS = {
    "bundle.json": 4 << 20,
    "head.safetensors": 64 << 20,
    "preview.png": 4 << 20,
    "report.json": 16 << 20,
    "signature": 4 << 10,
}
"""Members in their order, with the most bytes that each may have."""
_HEADERS = 4 << 10  # bytes, of a few members
MAX_BYTES = sum(LIMITS.values()) + _HEADERS
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION = 20  # ZIP 2.0, the least that tools ask for
_DATE = (1 << 5) | 1  # 1980-01-01, the first day that ZIP knows
_UNIX = 3 << 8
_MODE = 0o100644 << 16


def write_archive(members: Mapping[str, bytes], limits: Mapping[str, int] = LIMITS) -> bytes:
    """Members as one archive; the same members give the same bytes.

    Args:
        members: Name -> content.
        limits: Names in their order, with the most bytes of each.

    Raises:
        ValueError: On a name that is not in `limits`.
        BundleError: On a member over its limit.
    """
    unknown = set(members) - set(limits)
    if unknown:
        raise ValueError(f"expected members of {list(limits)}, got {sorted(unknown)}")
    body, directory, count = bytearray(), bytearray(), 0
    for name, limit in limits.items():
        if name not in members:
            continue
        data, encoded = members[name], name.encode()
        if len(data) > limit:
            raise BundleError(f"expected at most {limit} bytes in {name}, got {len(data)}")
        sums = (zlib.crc32(data), len(data), len(data), len(encoded))
        common = (_VERSION, 0, 0, 0, _DATE, *sums, 0)
        directory += _CENTRAL.pack(b"PK\x01\x02", _UNIX | _VERSION, *common, 0, 0, 0, _MODE, len(body)) + encoded
        body += _LOCAL.pack(b"PK\x03\x04", *common) + encoded + data
        count += 1
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def read_archive(
    data: bytes, limits: Mapping[str, int] = LIMITS, *, where: str | None = None, what: str = "bundle"
) -> dict[str, bytes]:
    """Members of an archive that `write_archive` made.

    Args:
        data: The file.
        limits: As for `write_archive`.
        where: The file, for messages.
        what: What the file should be, for messages.

    Raises:
        BundleError: When any byte is not what `write_archive` would have written.
    """
    most = sum(limits.values()) + _HEADERS
    if len(data) > most:
        raise refused(f"expected at most {most} bytes, got {len(data)}", where, what)
    members: dict[str, bytes] = {}
    offset, order = 0, list(limits)
    while data[offset : offset + 4] == b"PK\x03\x04" and len(data) >= offset + _LOCAL.size:
        fields = _LOCAL.unpack_from(data, offset)
        size, name_size = fields[8], fields[9]
        start = offset + _LOCAL.size + name_size
        name = data[offset + _LOCAL.size : start].decode("latin-1")
        if name not in order:
            raise refused(f"expected members {', '.join(limits)} in this order, got {name[:80]!r}", where, what)
        if size > limits[name]:
            raise refused(f"expected at most {limits[name]} bytes in {name}, got {size}", where, what)
        if start + size > len(data):
            raise refused(f"the file ends within {name}: it is truncated", where, what)
        order = order[order.index(name) + 1 :]
        members[name] = data[start : start + size]
        offset = start + size
    if not members:
        raise refused(f"expected a Trunkline {what} (a ZIP archive of known members)", where, what)
    if write_archive(members, limits) != data:
        raise refused("the archive is damaged, truncated or was packed by another tool", where, what)
    return members


def first_member(data: bytes, name: str) -> bytes:
    """What seems to be the first member if it has this name, else b""; nothing of it is verified."""
    if len(data) < _LOCAL.size or data[:4] != b"PK\x03\x04":
        return b""
    fields = _LOCAL.unpack_from(data)
    start = _LOCAL.size + fields[9]
    if data[_LOCAL.size : start] != name.encode() or fields[8] > LIMITS[name]:
        return b""
    return data[start : start + fields[8]]


def refused(message: str, where: str | None, what: str = "bundle") -> BundleError:
    """The error of a file that is not what it was when it was made."""
    return BundleError(
        message, where=where, fix=f"get the {what} again from where it was made; it is used whole or not at all"
    )
