"""Outputs of stations appear at once or not at all, and are kept under the digest of their inputs."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.core.errors import StorageError
from trunkline.platform.line import stations
from trunkline.platform.line.stations import StationStore

FILES = {"a.bin": b"one", "b.json": b"{}"}


@pytest.fixture
def store(home: Path) -> StationStore:
    return StationStore(home)


def test_an_output_is_there_after_it_was_put(store: StationStore) -> None:
    assert store.get("fit", "a" * 64) is None
    store.put("fit", "a" * 64, FILES)
    assert (store.get("fit", "a" * 64), store.get("fit", "b" * 64), store.get("gate", "a" * 64)) == (FILES, None, None)
    assert list(store.folder("fit", "a" * 64).parent.iterdir()) == [store.folder("fit", "a" * 64)]


def test_json(store: StationStore) -> None:
    assert store.get_json("inspect", "a" * 64) is None
    store.put_json("inspect", "a" * 64, {"b": [1, "é \udce9"]})
    assert store.get_json("inspect", "a" * 64) == {"b": [1, "é \udce9"]}


@pytest.mark.parametrize(
    "files", [{"output.json": b""}, {"output.json": b'{"a": '}, {"output.json": b"null"}, {"other": b"1"}, {}]
)
def test_an_output_that_lost_its_bytes_is_made_again(store: StationStore, files: dict[str, bytes]) -> None:
    store.put("inspect", "a" * 64, files)
    assert store.get_json("inspect", "a" * 64) is None
    store.put_json("inspect", "a" * 64, 1)
    assert store.get_json("inspect", "a" * 64) == 1


@pytest.mark.parametrize("spoil", [lambda folder: (folder / "more").mkdir(), lambda folder: (
    shutil.rmtree(folder), folder.write_bytes(b"")
)])  # fmt: skip
def test_what_is_no_output_of_ours_is_made_again(store: StationStore, spoil: Callable[[Path], object]) -> None:
    store.put("fit", "a" * 64, FILES)
    spoil(store.folder("fit", "a" * 64))
    assert store.get("fit", "a" * 64) is None
    store.put("fit", "a" * 64, FILES)
    assert store.get("fit", "a" * 64) == FILES


def test_the_first_of_two_wins(store: StationStore) -> None:
    store.put("fit", "a" * 64, FILES)
    store.put("fit", "a" * 64, {"a.bin": b"two"})
    assert store.get("fit", "a" * 64) == FILES
    assert list(store.folder("fit", "a" * 64).parent.iterdir()) == [store.folder("fit", "a" * 64)]


def test_keys_follow_from_the_inputs_and_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    key = StationStore.key({"a": 1, "b": 2})
    others = {StationStore.key({"a": 1}), StationStore.key({"a": 2, "b": 2})}
    monkeypatch.setattr(stations, "RECIPE", stations.RECIPE + 1)
    others.add(StationStore.key({"a": 1, "b": 2}))
    assert (len(key), key in others, len(others)) == (64, False, 3)
    monkeypatch.undo()
    assert StationStore.key({"b": 2, "a": 1}) == key


def test_a_full_disk_leaves_nothing(store: StationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="no space left on the disk"):
        store.put("fit", "a" * 64, FILES)
    assert list(store.folder("fit", "a" * 64).parent.iterdir()) == []


def test_an_interrupt_leaves_nothing(store: StationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.put("fit", "a" * 64, FILES)
    assert list(store.folder("fit", "a" * 64).parent.iterdir()) == []


def test_a_process_that_is_killed_half_way_has_put_nothing(store: StationStore, home: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from trunkline.platform.line.stations import StationStore\n"
        "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "StationStore(Path(sys.argv[1])).put('fit', 'a' * 64, {'a.bin': b'one'})"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(home)])
    assert (killed.returncode, store.get("fit", "a" * 64)) == (-signal.SIGKILL, None)
    store.put("fit", "a" * 64, FILES)
    assert store.get("fit", "a" * 64) == FILES
    shutil.rmtree(store.root)
