"""The audit log: who moved which alias, when and why. Append-only, one JSON object a line, chained by digests.

Each line holds the SHA-256 of the line before it, and `audit.head` the number of lines and the digest of the last one,
so that an edited, removed or added line is found. Whoever can write the home can also write both files anew: the log
guards against accidents and quiet edits, not against its owner.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trunkline.core.digest import canonical_json, digest_bytes
from trunkline.core.errors import ConfigError
from trunkline.core.files import locked, storage_errors, write_atomic

MAX_TEXT = 2000
"""Most characters of a name or a reason."""
_START = "0" * 64
_TAIL = 1 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    Attributes:
        id: Names the operation; it is written once, however often it is tried.
        at: UTC, ISO 8601.
        who, why: As they were given.
        action: "promote", "rollback", "override", "abandoned" (the version was gone), or of this log itself: "repair"
            (a torn line was set aside) and "fault" (its end did not fit `audit.head`).
        model: The model's name.
        alias: "champion" or "challenger".
        old, new: Versions before and after; `from` and `to` in the file.
        bundle: Digest of the bundle that the alias now names.
    """

    id: str
    action: str
    model: str
    alias: str
    old: int | None
    new: int | None
    bundle: str
    who: str
    why: str
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        row = {name: getattr(self, name) for name in self.__slots__}
        old, new = row.pop("old"), row.pop("new")
        return {**row, "from": old, "to": new}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Entry:
        given = {**row, "old": row["from"], "new": row["to"]}
        return cls(**{name: given[name] for name in cls.__slots__})


class AuditLog:
    """`HOME/audit.jsonl` with `audit.head` beside it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "audit.jsonl"
        self.head = home / "audit.head"
        self.torn = home / "audit.torn"
        self._lock = home / "locks" / "audit.lock"

    def record(self, entry: Entry) -> Entry:
        """Append an entry and bring it to the disk.

        A torn last line is moved to `audit.torn` first, and that is said in the log. So is an end that does not fit
        `audit.head`, which is written anew with every entry.

        Returns:
            The entry with its time.

        Raises:
            ConfigError: When the name or the reason is too long.
            StorageError: When the disk is full; the entry is not there, or whole.
        """
        check_words(entry.who, entry.why)
        with locked(self._lock):
            aside = self._set_torn_aside()
            wrong = [] if self._fits_head() else self._wrong_at_end(self._lines())
            if aside:
                self._note("repair", f"{aside} bytes of a torn line moved to {self.torn.name}")
            for sentence in wrong:
                self._note("fault", sentence)
            return self._append(entry)

    def entries(self, model: str | None = None) -> list[Entry]:
        """Entries in the order in which they were written, of one model or of all; lines that cannot be read are left
        out (`verify` tells of them)."""
        found = []
        for line in self._lines():
            try:
                entry = Entry.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if model is None or entry.model == model:
                found.append(entry)
        return found

    def verify(self) -> list[str]:
        """What is wrong with the log, one sentence each; empty when it is whole."""
        with locked(self._lock):
            lines = self._lines()
            at_end = self._wrong_at_end(lines)
            data = self._data()
        wrong, before = [], _START
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                entry = Entry.from_json(row)
                fits = row["prev"] == before
            except (ValueError, KeyError, TypeError, RecursionError):
                wrong.append(f"{self.path.name}:{number}: not an entry of the audit log")
            else:
                if not fits:
                    wrong.append(f"{self.path.name}:{number}: a line before this one was edited, removed or added")
                if entry.action == "fault":
                    wrong.append(f"{self.path.name}:{number}: before this line: {entry.why}")
            before = digest_bytes(line)
        if data and not data.endswith(b"\n"):
            place = f"{self.path.name}:{len(lines) + 1}"
            wrong.append(f"{place}: torn line (a process was killed); the next entry repairs it")
        return wrong + at_end

    def _wrong_at_end(self, lines: list[bytes]) -> list[str]:
        """What `audit.head` says against the log's end; one line more is of a process that was killed in between."""
        count, digest = self._head()
        if count > len(lines):
            return [f"{self.path.name}: {count - len(lines)} lines were removed at the end"]
        if not count and len(lines) > 1:
            return [f"{self.head.name} is missing: lines may have been removed at the end"]
        wrong = []
        if count and digest_bytes(lines[count - 1]) != digest:
            wrong.append(f"{self.path.name}:{count}: this line was edited, or one before it removed or added")
        if len(lines) > count + 1:
            wrong.append(f"{self.path.name}: {len(lines) - count} lines were added at the end")
        return wrong

    def _lines(self) -> list[bytes]:
        """Whole lines, without their ends."""
        return self._data().split(b"\n")[:-1]

    def _data(self) -> bytes:
        with storage_errors(self.path):
            try:
                return self.path.read_bytes()
            except FileNotFoundError:
                return b""

    def _head(self) -> tuple[int, str]:
        try:
            row = json.loads(self.head.read_bytes())
            return int(row["lines"]), str(row["digest"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, _START

    def _note(self, action: str, why: str) -> None:
        """An entry about the log itself."""
        self._append(Entry("", action, "", "", None, None, "", "trunkline", why))

    def _append(self, entry: Entry) -> Entry:
        at = entry.at or datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = Entry(**{**{name: getattr(entry, name) for name in Entry.__slots__}, "at": at})
        count, before = self._last()
        line = canonical_json({**entry.to_json(), "prev": before})
        with storage_errors(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                size = os.fstat(descriptor).st_size
                try:
                    _write_all(descriptor, line + b"\n")
                    os.fsync(descriptor)
                except BaseException:
                    os.ftruncate(descriptor, size)
                    raise
            finally:
                os.close(descriptor)
        write_atomic(self.head, canonical_json({"lines": count + 1, "digest": digest_bytes(line)}))
        return entry

    def _last(self) -> tuple[int, str]:
        """Number of lines and digest of the last one."""
        if self._fits_head():
            return self._head()
        lines = self._lines()
        return (len(lines), digest_bytes(lines[-1])) if lines else (0, _START)

    def _fits_head(self) -> bool:
        """Whether `audit.head` is about the last line; reads only the log's end."""
        count, digest = self._head()
        try:
            with storage_errors(self.path), self.path.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - _TAIL))
                tail = stream.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return not count
        return bool(count and tail) and digest_bytes(tail[-1]) == digest

    def _set_torn_aside(self) -> int:
        """Move what follows the last line's end to `audit.torn`; bytes moved."""
        if not self.path.exists():
            return 0
        with storage_errors(self.path), self.path.open("r+b") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 1))
            if stream.read() in (b"", b"\n"):
                return 0
            stream.seek(0)
            data = stream.read()
            end = data.rfind(b"\n") + 1
            with self.torn.open("ab") as aside:
                aside.write(data[end:] + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            stream.truncate(end)
            return len(data) - end


def champions(entries: list[Entry], present: int | None, digests: Mapping[int, str]) -> list[int]:
    """Champions so far as a pile, the present one on top: promoting puts one on, rolling back takes it off.

    Args:
        entries: The model's entries in the audit log.
        present: The champion now; it may have been set outside Trunkline.
        digests: Bundles of the versions that there are. A model that was deleted in MLflow and registered anew begins
            with version 1 again; entries on another bundle of that number are not about this one.
    """
    pile: list[int] = []
    for entry in entries:
        if entry.alias != "champion" or entry.new is None or entry.action == "abandoned":
            continue
        if digests.get(entry.new, entry.bundle) != entry.bundle:
            continue
        if entry.action == "rollback" and entry.new in pile:
            while pile[-1] != entry.new:
                pile.pop()
            continue
        if entry.old is not None and (not pile or pile[-1] != entry.old):
            pile.append(entry.old)
        pile.append(entry.new)
    if present is not None and (not pile or pile[-1] != present):
        pile.append(present)
    return pile


def check_words(who: str, why: str) -> None:
    """Make sure that a name and a reason can be written into the log, a bundle and MLflow.

    Raises:
        ConfigError: When one is too long, or no text.
    """
    for field, text in (("who", who), ("why", why)):
        if len(text) > MAX_TEXT:
            raise ConfigError(
                f"expected at most {MAX_TEXT} characters, got {len(text)}", where=f"--{field}", fix="shorten it"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:  # bytes of a command line that are not UTF-8
            raise ConfigError("expected UTF-8 text", where=f"--{field}", fix="write it in UTF-8") from error


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
