"""An export's folder appears whole or not at all, and replaces nothing but a former export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.errors import DataError, StorageError
from trunkline.platform.export import publish as module
from trunkline.platform.export.publish import check_place, publish


def writer(text: str) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        (folder / "sub").mkdir()
        (folder / "sub" / "model").write_text(text)
        return {"model": text}

    return write


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_record_names_every_file(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "deep" / "out"
    record = publish(out, home, writer("one"))
    assert record == {
        "kind": "trunkline export",
        "model": "one",
        "files": {
            "sub/model": {
                "bytes": 3,
                "sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
            }
        },
    }
    assert json.loads((out / "export.json").read_bytes()) == record
    assert tree(tmp_path / "deep") == ["out", "out/export.json", "out/sub", "out/sub/model"]


def test_a_former_export_and_an_empty_folder_are_replaced(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "here" / "out"
    out.mkdir(parents=True)
    publish(out, home, writer("one"))
    publish(out, home, lambda folder: (folder / "other").write_text("two") and {})
    assert tree(tmp_path / "here") == ["out", "out/export.json", "out/other"]


def a_file(out: Path) -> None:
    out.write_text("mine")


def a_link(out: Path) -> None:
    out.symlink_to(out.parent)


def something(out: Path) -> None:
    out.mkdir()
    (out / "mine").write_text("mine")


def an_export_with_more(out: Path) -> None:
    publish(out, out.parent / "home", writer("one"))
    (out / "sub" / "mine").write_text("mine")


def another_record(out: Path) -> None:
    out.mkdir()
    (out / "export.json").write_text(json.dumps({"kind": "else", "files": {"mine": {}}}))
    (out / "mine").write_text("mine")


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (a_file, "expected a folder, got a file or a link"),
        (a_link, "expected a folder, got a file or a link"),
        (something, "this one holds 'mine'"),
        (an_export_with_more, "this one holds 'sub/mine'"),
        (another_record, "this one holds 'mine'"),
    ],
)
def test_what_somebody_else_put_there_is_left_alone(there: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    there(out)
    before = tree(tmp_path)
    with pytest.raises(DataError, match=said):
        publish(out, tmp_path / "home", writer("two"))
    assert tree(tmp_path) == before


def test_what_was_put_there_meanwhile_is_left_alone(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "here" / "out"

    def write(folder: Path) -> dict[str, Any]:
        something(out)
        return {}

    with pytest.raises(DataError, match="this one holds 'mine'"):
        publish(out, home, write)
    assert tree(out.parent) == ["out", "out/mine"]


def test_an_export_that_fails_leaves_the_former_one(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "here" / "out"
    publish(out, home, writer("one"))

    def broken(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("x")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        publish(out, home, broken)
    assert tree(out.parent) == ["out", "out/export.json", "out/sub", "out/sub/model"]


def test_the_former_one_is_put_back_when_the_new_one_cannot_be(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "here" / "out"
    publish(out, home, writer("one"))
    real = module.os.replace

    def refused(source: Path, target: Path) -> None:
        if str(source).endswith(".part"):
            raise PermissionError(13, "no")
        real(source, target)

    monkeypatch.setattr(module.os, "replace", refused)
    with pytest.raises(StorageError, match="cannot be written"):
        publish(out, home, writer("two"))
    assert tree(out.parent) == ["out", "out/export.json", "out/sub", "out/sub/model"]
    assert (out / "sub" / "model").read_text() == "one"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc here")
def test_a_place_where_no_folder_can_be_made_is_told(home: Path) -> None:
    with pytest.raises(StorageError, match="cannot be made there"):
        publish(Path("/proc/x"), home, writer("one"))


def test_a_place_with_nothing_is_fine(tmp_path: Path) -> None:
    check_place(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    check_place(tmp_path / "empty")
