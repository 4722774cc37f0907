"""The audit log: what was written stays, and what was done to it shows."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import ConfigError, StorageError
from trunkline.platform.registry import audit
from trunkline.platform.registry.audit import MAX_TEXT, AuditLog, Entry, champions

ENTRY = Entry("id0", "promote", "steel", "champion", None, 1, "b1", "ann", "first")


def entries(count: int) -> list[Entry]:
    return [replace(ENTRY, id=f"id{i}", old=i or None, new=i + 1, why=f"why {i} 更好") for i in range(count)]


@pytest.fixture
def log(home: Path) -> AuditLog:
    """A log of four entries."""
    log = AuditLog(home)
    for entry in entries(4):
        log.record(entry)
    return log


def test_entries_come_back_as_they_were(home: Path) -> None:
    log = AuditLog(home)
    written = [log.record(entry) for entry in entries(3)] + [log.record(replace(ENTRY, model="copper"))]
    assert log.entries() == written
    assert log.entries("copper") == written[3:]
    assert [replace(entry, at="") for entry in written[:3]] == entries(3)
    assert log.verify() == []


def test_a_line_says_what_moved_and_holds_the_digest_of_the_one_before(log: AuditLog) -> None:
    lines = log.path.read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    assert set(rows[1]) == {"id", "at", "who", "why", "action", "model", "alias", "from", "to", "bundle", "prev"}
    assert [(row["from"], row["to"]) for row in rows] == [(None, 1), (1, 2), (2, 3), (3, 4)]
    assert [row["prev"] for row in rows] == ["0" * 64, *(digest_bytes(line) for line in lines[:-1])]
    assert json.loads(log.head.read_bytes()) == {"lines": 4, "digest": digest_bytes(lines[-1])}


def edited(lines: list[bytes], number: int) -> list[bytes]:
    return [line.replace(b'"who":"ann"', b'"who":"eve"') if i == number else line for i, line in enumerate(lines)]


def added(lines: list[bytes], place: int, count: int = 1) -> list[bytes]:
    """Lines put in, with the digest of the line before them."""
    out = lines[:place]
    for _ in range(count):
        row = {**json.loads(lines[0]), "prev": digest_bytes(out[-1]) if out else "0" * 64}
        out.append(json.dumps(row, sort_keys=True, separators=(",", ":")).encode())
    return out + lines[place:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: edited(lines, 0), ["audit.jsonl:2: a line before this one was edited, removed or added"]),
        (lambda lines: edited(lines, 2), ["audit.jsonl:4: a line before this one was edited, removed or added"]),
        (
            lambda lines: edited(lines, 3),
            ["audit.jsonl:4: this line was edited, or one before it removed or added"],
        ),
        (
            lambda lines: lines[1:],
            [
                "audit.jsonl:1: a line before this one was edited, removed or added",
                "audit.jsonl: 1 lines were removed at the end",
            ],
        ),
        (
            lambda lines: lines[:1] + lines[2:],
            [
                "audit.jsonl:2: a line before this one was edited, removed or added",
                "audit.jsonl: 1 lines were removed at the end",
            ],
        ),
        (lambda lines: lines[:2], ["audit.jsonl: 2 lines were removed at the end"]),
        (lambda lines: [], ["audit.jsonl: 4 lines were removed at the end"]),
        (
            lambda lines: added(lines, 2),
            [
                "audit.jsonl:4: a line before this one was edited, removed or added",
                "audit.jsonl:4: this line was edited, or one before it removed or added",
            ],
        ),
        (lambda lines: added(lines, 4, 2), ["audit.jsonl: 2 lines were added at the end"]),
        (
            lambda lines: [lines[0], b"[" * 5000, *lines[2:]],
            [
                "audit.jsonl:2: not an entry of the audit log",
                "audit.jsonl:3: a line before this one was edited, removed or added",
            ],
        ),
        (lambda lines: [*lines[:3], b"{}"], [
            "audit.jsonl:4: not an entry of the audit log",
            "audit.jsonl:4: this line was edited, or one before it removed or added",
        ]),
    ],
)  # fmt: skip
def test_changes_are_found(log: AuditLog, change: Callable[[list[bytes]], list[bytes]], said: list[str]) -> None:
    lines = change(log.path.read_bytes().splitlines())
    log.path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert log.verify() == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:2], "audit.jsonl: 2 lines were removed at the end"),
        (lambda lines: [], "audit.jsonl: 4 lines were removed at the end"),
        (lambda lines: edited(lines, 3), "audit.jsonl:4: this line was edited, or one before it removed or added"),
        (lambda lines: added(lines, 4, 2), "audit.jsonl: 2 lines were added at the end"),
    ],
)
def test_a_change_at_the_end_still_shows_after_the_next_entry(
    log: AuditLog, change: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    lines = change(log.path.read_bytes().splitlines())
    log.path.write_bytes(b"".join(line + b"\n" for line in lines))
    log.record(replace(ENTRY, id="next"))
    log.record(replace(ENTRY, id="after"))
    assert log.verify() == [f"audit.jsonl:{len(lines) + 1}: before this line: {said}"]


def test_a_head_that_was_removed_is_missed(log: AuditLog) -> None:
    log.head.unlink()
    assert log.verify() == ["audit.head is missing: lines may have been removed at the end"]


def test_a_torn_line_is_set_aside_and_said(log: AuditLog) -> None:
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"torn')
    assert log.verify() == ["audit.jsonl:5: torn line (a process was killed); the next entry repairs it"]
    entry = log.record(replace(ENTRY, id="next"))
    assert log.path.read_bytes().startswith(whole)
    assert log.torn.read_bytes() == b'{"torn\n'
    assert [(e.action, e.why) for e in log.entries()[4:]] == [
        ("repair", "6 bytes of a torn line moved to audit.torn"),
        ("promote", "first"),
    ]
    assert log.entries()[-1] == entry
    assert log.verify() == []


@pytest.mark.parametrize("step", ["trunkline.platform.registry.audit._write_all", "os.fsync"])
def test_a_failed_write_leaves_the_log_as_it_was(log: AuditLog, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = log.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        with pytest.raises(StorageError, match="no space left"):
            log.record(replace(ENTRY, id="next"))
    assert (log.path.read_bytes(), log.verify()) == (before, [])
    log.record(replace(ENTRY, id="next"))
    assert (len(log.entries()), log.verify()) == (5, [])


@pytest.mark.parametrize(("step", "kept"), [("_write_all", 4), ("write_atomic", 5)])
def test_a_kill_between_the_steps_is_no_fault(
    log: AuditLog, step: str, kept: int, monkeypatch: pytest.MonkeyPatch, in_children: Callable[..., list[int]]
) -> None:
    monkeypatch.setattr(audit, step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert in_children(lambda: log.record(replace(ENTRY, id="next"))) == [-signal.SIGKILL]
    monkeypatch.undo()
    assert (len(log.entries()), log.verify()) == (kept, [])
    log.record(replace(ENTRY, id="after"))
    assert (len(log.entries()), log.verify()) == (kept + 1, [])


def test_processes_at_once_make_one_chain(home: Path, in_children: Callable[..., list[int]]) -> None:
    def write(name: str) -> None:
        for entry in entries(5):
            AuditLog(home).record(replace(entry, model=name))

    assert in_children(*(partial(write, name) for name in "abc")) == [0, 0, 0]
    log = AuditLog(home)
    assert (len(log.entries()), [len(log.entries(name)) for name in "abc"], log.verify()) == (15, [5, 5, 5], [])


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("who", "a" * (MAX_TEXT + 1), "at most 2000 characters, got 2001"),
        ("why", "更" * (MAX_TEXT + 1), "at most 2000 characters, got 2001"),
        ("why", "\udcff", "expected UTF-8 text"),
    ],
)
def test_words_that_cannot_be_written_are_refused(home: Path, field: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        AuditLog(home).record(replace(ENTRY, **{field: text}))  # type: ignore[arg-type]
    assert caught.value.where == f"--{field}"
    assert AuditLog(home).entries() == []


def test_the_longest_words_chain(home: Path) -> None:
    log = AuditLog(home)
    for number in range(3):
        log.record(replace(ENTRY, id=str(number), who="\x01" * MAX_TEXT, why="更" * MAX_TEXT))
    assert (len(log.entries()), log.verify()) == (3, [])


def move(action: str, old: int | None, new: int, bundle: str = "", alias: str = "champion") -> Entry:
    return Entry("", action, "steel", alias, old, new, bundle or f"b{new}", "", "")


@pytest.mark.parametrize(
    ("moves", "present", "pile"),
    [
        ([], None, []),
        ([], 3, [3]),
        ([move("promote", None, 1), move("promote", 1, 2)], 2, [1, 2]),
        ([move("promote", None, 1), move("override", 1, 2), move("rollback", 2, 1)], 1, [1]),
        ([move("promote", None, 1), move("promote", 1, 2), move("promote", 2, 1)], 1, [1, 2, 1]),
        ([move("promote", None, 1), move("promote", 1, 2, alias="challenger")], 1, [1]),
        ([move("promote", None, 1), move("abandoned", 1, 2)], 1, [1]),
        ([move("promote", None, 1)], 4, [1, 4]),
        ([move("promote", 7, 8)], 8, [7, 8]),
        ([move("promote", None, 1), move("promote", 1, 2), move("promote", 2, 3), move("rollback", 3, 1)], 1, [1]),
        ([move("promote", None, 1, "gone"), move("promote", 1, 2, "gone"), move("promote", None, 1)], 1, [1]),
    ],
)
def test_champions_so_far(moves: list[Entry], present: int | None, pile: list[int]) -> None:
    assert champions(moves, present, {number: f"b{number}" for number in range(1, 9)}) == pile


def test_a_folder_in_its_place_is_told(home: Path) -> None:
    log = AuditLog(home)
    log.path.mkdir(parents=True)
    for call in (log.entries, log.verify, partial(log.record, ENTRY)):
        with pytest.raises(StorageError) as caught:
            call()
        assert str(caught.value) == (
            f"{log.path}: expected a file, got a folder\n  fix: move the folder away, then run the same command again"
        )
