"""A source's fingerprint changes with its files, and is taken without reading one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.core.errors import DataError
from trunkline.core.types.scenario import Source
from trunkline.platform.data.fingerprint import fingerprint, walk


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in ("a/1.png", "a/2.png", "b/c/3.png", "list.csv", ".hidden", ".cache/4.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_every_file_is_walked_in_order_but_hidden_ones_and_links_to_folders(source: Path) -> None:
    (source / "z").symlink_to(source / "a")
    found = dict(walk(source))
    assert list(found) == ["a/1.png", "a/2.png", "b/c/3.png", "list.csv", "z"]
    assert found["a/1.png"].st_size == len("a/1.png")


def same_size_and_time(path: Path) -> None:
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def other_file_of_the_same_stat(path: Path) -> None:
    stat = path.stat()
    copy = path.with_name("new")
    copy.write_bytes(bytes(stat.st_size))
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    copy.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "new content": lambda folder: (folder / "a/1.png").write_bytes(b"more than there was"),
    "the same size and time": lambda folder: same_size_and_time(folder / "a/1.png"),
    "another file in its place": lambda folder: other_file_of_the_same_stat(folder / "a/1.png"),
    "a new file": lambda folder: (folder / "b/9.png").touch(),
    "a file less": lambda folder: (folder / "a/1.png").unlink(),
    "another name": lambda folder: (folder / "a/1.png").rename(folder / "a/9.png"),
    "another folder": lambda folder: (folder / "b/c").rename(folder / "b/d"),
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("given", ["", "list.csv"], ids=["a folder", "a list"])
def test_a_change_is_seen(case: str, given: str, source: Path) -> None:
    sources = [Source(path=source / given)]
    before = fingerprint(sources)
    assert fingerprint(sources) == before
    CHANGES[case](source)
    assert fingerprint(sources) != before


def test_hidden_files_change_nothing(source: Path) -> None:
    before = fingerprint([Source(path=source)])
    (source / ".cache/5.png").touch()
    assert fingerprint([Source(path=source)]) == before


def test_a_home_below_a_source_changes_nothing(source: Path) -> None:
    home = source / "b" / "home"
    (home / "results").mkdir(parents=True)
    before = fingerprint([Source(path=source)], home=home)
    (home / "results" / "1.json").touch()
    assert fingerprint([Source(path=source)], home=home) == before
    (source / "b" / "1.json").touch()
    assert fingerprint([Source(path=source)], home=home) != before


def test_no_file_is_read(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.open", None)
    monkeypatch.setattr(Path, "open", None)
    assert len(fingerprint([Source(path=source)])) == 64


def test_sources_and_their_formats_count(source: Path) -> None:
    sets = [
        [Source(path=source)], [Source(path=source, format="csv")], [Source(path=source / "a")],
        [Source(path=source / "a"), Source(path=source / "b")], [Source(path=source / "b"), Source(path=source / "a")],
    ]  # fmt: skip
    assert len({fingerprint(sources) for sources in sets}) == len(sets)


def test_a_folder_is_walked_once_for_all_its_lists(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked: dict[Path, str] = {}
    (source / "more.csv").touch()
    alone = fingerprint([Source(path=source / "list.csv")])
    assert fingerprint([Source(path=source / "list.csv")], walked) == alone
    monkeypatch.setattr("trunkline.platform.data.fingerprint.walk", None)
    assert fingerprint([Source(path=source / "more.csv")], walked) != alone
    assert list(walked) == [source]


def test_a_name_of_any_bytes_is_taken(source: Path) -> None:
    before = fingerprint([Source(path=source)])
    for name in (b"\xff.png", b"\xfe.png"):
        (source / os.fsdecode(name)).touch()
    assert fingerprint([Source(path=source)]) != before


def test_a_source_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing here") as caught:
        fingerprint([Source(path=tmp_path / "gone")])
    assert caught.value.where == str(tmp_path / "gone")


def test_a_folder_that_may_not_be_listed_is_a_clear_error(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match="cannot be read: Permission denied") as caught:
        fingerprint([Source(path=source)])
    assert caught.value.where == str(source)
