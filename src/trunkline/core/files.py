"""Files that survive a kill: atomic writes, locks between processes, disk faults as clear errors."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from trunkline.core.errors import BusyError, StorageError

_PAUSE = 0.05  # seconds between two tries to get a lock
_AGAIN = "free some space and run the same command again"
_ELSEWHERE = "name another folder; the home is named with --home DIR or TRUNKLINE_HOME"
_FAULTS = {
    errno.ENOSPC: ("no space left on the disk", _AGAIN),
    errno.EDQUOT: ("no space left within the quota of this disk", _AGAIN),
    errno.EACCES: ("this place cannot be written", _ELSEWHERE),
    errno.EPERM: ("this place cannot be written", _ELSEWHERE),
    errno.EROFS: ("this disk cannot be written, only read", _ELSEWHERE),
    errno.ENOTDIR: ("expected a folder, got a file", _ELSEWHERE),
    errno.EEXIST: ("expected a folder, got a file", _ELSEWHERE),
    errno.EISDIR: ("expected a file, got a folder", "move the folder away, then run the same command again"),
    errno.ENAMETOOLONG: ("the name is too long for this disk", _ELSEWHERE),
    errno.ENOLCK: ("this disk cannot lock files", "name a folder on a local disk with --home DIR or TRUNKLINE_HOME"),
    errno.EIO: ("the disk reports a fault", "see that the disk is whole, then run the same command again"),
}
"""What an operating system's error number means to whoever chose the place, and what helps."""


def storage_error(path: Path, error: OSError) -> StorageError | None:
    """An operating system's error as one that names the place, or None where it is not about the place."""
    if error.errno not in _FAULTS:
        return None
    message, fix = _FAULTS[error.errno]
    return StorageError(message, where=str(path), fix=fix)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn "disk full", "may not write" and their like into a `StorageError` that names the place."""
    try:
        yield
    except OSError as error:
        known = storage_error(path, error)
        if known is None:
            raise
        raise known from error


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Args:
        path: The file; its folder is made when missing.
        data: The new content.
        mode: Permissions of a new file.
        durable: Wait until it is on the disk. Without, a cut of power (not a kill) may leave an empty file; that is
            for what can be made again.

    Raises:
        StorageError: When the disk is full or the folder cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def locked(path: Path, *, timeout: float | None = None) -> Iterator[None]:
    """Hold an advisory lock between processes; the kernel frees it when its holder dies.

    Args:
        path: The lock file; made when missing, never removed.
        timeout: Seconds to wait; None waits for as long as it takes.

    Raises:
        BusyError: When the lock was not free in time.
        StorageError: When the lock file cannot be made, or its disk has no locks.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with storage_errors(path):
            _acquire(descriptor, path, timeout)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, timeout: float | None) -> None:
    if timeout is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BusyError(
                    "another process holds this" + (f"; it did not let go within {timeout:g} s" if timeout else ""),
                    where=str(path),
                    fix="wait for it to finish, then run the same command again",
                ) from None
            time.sleep(_PAUSE)
