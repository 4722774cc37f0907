"""An export's folder appears whole or not at all, and replaces nothing but a former export."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.core.digest import digest_file
from trunkline.core.errors import DataError, StorageError
from trunkline.core.files import locked, storage_errors

RECORD = "export.json"
"""The file that says what an export is and which files it wrote."""
_KIND = "trunkline export"


def check_place(out: Path) -> None:
    """Make sure that an export may go to a place: nothing is there, an empty folder, or a former export alone.

    Raises:
        DataError: When something else is there.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DataError("expected a folder, got a file or a link", where=str(out), fix="name another --out")
    known = {*_files_of(out), RECORD}
    inside = (path for path in out.rglob("*") if path.is_symlink() or not path.is_dir())
    foreign = next((name for path in inside if (name := str(path.relative_to(out))) not in known), None)
    if foreign is not None:
        raise DataError(
            f"expected an empty folder, a former export, or none; this one holds {foreign!r}",
            where=str(out),
            fix="name another --out, or move what is in it",
        )


def _files_of(out: Path) -> set[str]:
    """Files that a former export wrote; none where it is no export."""
    try:
        record = json.loads((out / RECORD).read_bytes())
        return set(record["files"]) if record["kind"] == _KIND else set()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()


def publish(out: Path, home: Path, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Write an export into a folder beside its place, then put it there.

    Args:
        out: Its place.
        home: The home folder, for the lock.
        write: Writes the files and gives the facts for the record.

    Returns:
        The record: facts, and bytes and digest of each file.

    Raises:
        DataError: When something else is at its place.
        StorageError: When the disk is full or cannot be written.
    """
    check_place(out)
    token = secrets.token_hex(6)
    part, old = (out.with_name(f".{out.name}.{token}.{kind}") for kind in ("part", "old"))
    try:
        with storage_errors(out):
            _made(part)
            facts = write(part)
            files = {
                str(path.relative_to(part)): {"bytes": path.stat().st_size, "sha256": digest_file(path)}
                for path in sorted(part.rglob("*"))
                if path.is_file()
            }
            record = {"kind": _KIND, **facts, "files": files}
            text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
            (part / RECORD).write_text(text + "\n", encoding="utf-8")
            with locked(home / "locks" / "exports.lock"):
                check_place(out)  # somebody may have put something there meanwhile
                _swap(part, out, old)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileNotFoundError as error:  # the system makes none there, as below /proc
        raise StorageError(
            "a folder cannot be made there", where=str(folder.parent), fix="name another place with --out"
        ) from error


def _swap(part: Path, out: Path, old: Path) -> None:
    """Put a folder in the place of another; where that fails, the former one is put back."""
    there = out.exists()
    if there:
        os.replace(out, old)  # noqa: PTH105
    try:
        os.replace(part, out)  # noqa: PTH105
    except BaseException:
        if there:
            os.replace(old, out)  # noqa: PTH105
        raise
    shutil.rmtree(old, ignore_errors=True)
