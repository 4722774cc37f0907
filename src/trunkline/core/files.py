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

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn "disk full" and "may not write" into a `StorageError` that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                "no space left on the disk", where=str(path), fix="free some space and run the same command again"
            ) from error
        if error.errno in _DENIED:
            raise StorageError(
                "this place cannot be written",
                where=str(path),
                fix="choose another folder with --home DIR or TRUNKLINE_HOME",
            ) from error
        raise


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

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
        StorageError: When the lock file cannot be made.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if timeout is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            deadline = time.monotonic() + timeout
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BusyError(
                            f"another process has held this for {timeout:g} s",
                            where=str(path),
                            fix="wait for it to finish, then run the same command again",
                        ) from None
                    time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
