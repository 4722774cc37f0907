"""Files survive a kill and a full disk; locks hold between processes and die with their holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trunkline.core.errors import BusyError, StorageError
from trunkline.core.files import locked, storage_error, storage_errors, write_atomic

AGAIN = "free some space and run the same command again"
ELSEWHERE = "name another folder; the home is named with --home DIR or TRUNKLINE_HOME"
FAULTS = [
    (errno.ENOSPC, "no space left on the disk", AGAIN),
    (errno.EDQUOT, "no space left within the quota of this disk", AGAIN),
    (errno.EACCES, "this place cannot be written", ELSEWHERE),
    (errno.EPERM, "this place cannot be written", ELSEWHERE),
    (errno.EROFS, "this disk cannot be written, only read", ELSEWHERE),
    (errno.EIO, "the disk reports a fault", "see that the disk is whole, then run the same command again"),
]


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_write_makes_the_folder_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two", mode=0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777, list(path.parent.iterdir())) == (b"two", 0o600, [path])


@pytest.mark.parametrize(("number", "message", "fix"), FAULTS)
def test_a_disk_fault_leaves_the_old_file_and_names_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str, fix: str
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(StorageError) as caught:
        write_atomic(path, b"new")
    assert str(caught.value) == f"{path}: {message}\n  fix: {fix}"
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_a_fault_that_is_not_about_the_place_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path):
        (tmp_path / "none").read_bytes()
    assert storage_error(tmp_path, OSError(errno.ENOENT, "")) is None


@pytest.mark.parametrize(
    ("path", "message"),
    [("file/below/x", "expected a folder, got a file"), ("x" * 300, "the name is too long for this disk")],
)
def test_a_place_that_cannot_be(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "file").touch()
    for call in (lambda place: write_atomic(place, b""), lambda place: locked(place).__enter__()):
        with pytest.raises(StorageError) as caught:
            call(tmp_path / path)
        assert (caught.value.message, caught.value.where) == (message, str(tmp_path / path))


def test_an_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    killed = python(
        "import os, signal, sys; from pathlib import Path; from trunkline.core import files\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomic(Path(sys.argv[1]), b'new')",
        path,
    )
    killed.communicate(timeout=30)
    assert (killed.returncode, path.read_bytes()) == (-signal.SIGKILL, b"old")


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def holder(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is killed."""
    process = python(
        "import sys; from pathlib import Path; from trunkline.core.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()",
        lock,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_lock_holds_between_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "x.lock"
    with holder(lock) as process:
        with pytest.raises(BusyError) as caught, locked(lock, timeout=0):
            pass
        process.send_signal(signal.SIGKILL)
        with locked(lock, timeout=30):
            pass
    assert str(caught.value) == (
        f"{lock}: another process holds this\n  fix: wait for it to finish, then run the same command again"
    )


def test_a_lock_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with locked(lock), pytest.raises(BusyError, match=r"did not let go within 0\.06 s"), locked(lock, timeout=0.06):
        pass
    with locked(lock, timeout=0):
        pass


def test_a_lock_is_let_go_when_its_block_fails(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with pytest.raises(ZeroDivisionError), locked(lock):
        raise ZeroDivisionError
    with locked(lock, timeout=0):
        pass


def test_a_fault_inside_the_block_is_not_taken_for_one_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, locked(tmp_path / "x.lock"):
        failing(errno.ENOSPC)()
    assert type(caught.value) is OSError


def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    with pytest.raises(StorageError, match="this disk cannot lock files"), locked(tmp_path / "x.lock"):
        pass
