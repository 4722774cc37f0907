"""What `trunkline data` does: take in, list, show, compare, write out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import ConfigError, DataError, NotFoundError
from trunkline.core.settings import Settings
from trunkline.core.types.scenario import Source
from trunkline.platform.data import api


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, threads=1)


@pytest.fixture
def parts(tmp_path: Path, pictures: Any) -> Path:
    return pictures.folder(tmp_path / "parts", count=3)


def took(source: Path, settings: Settings, name: str = "parts") -> dict[str, Any]:
    return api.import_([Source(path=source)], settings, name=name)


def test_a_folder_is_taken_in_and_shown(parts: Path, settings: Settings) -> None:
    (parts / "a/bad.png").write_bytes(b"")
    row = took(parts, settings)
    assert {**row, "digest": len(row["digest"]), "findings": [f["kind"] for f in row["findings"]]} == {
        "name": "parts", "version": 1, "format": "imagefolder", "digest": 64, "images": 6, "boxes": 0,
        "labels": {"a": 3, "b": 3}, "splits": {"": 6}, "findings": ["unreadable"],
    }  # fmt: skip
    assert api.show("parts", settings) == api.show("parts@1", settings) == row
    json.dumps(row, allow_nan=False)


def test_labels_of_boxes_are_counted_by_image_and_splits_are_told(parts: Path, settings: Settings) -> None:
    lines = ["path,label,split,xmin,ymin,xmax,ymax", "a/000.png,a,train,1,1,9,9", "a/000.png,a,train,2,2,9,9",
             "b/000.png,b;a,test,,,,", "b/001.png,,,,,,"]  # fmt: skip
    (parts / "list.csv").write_text("\n".join(lines))
    row = took(parts / "list.csv", settings)
    assert (row["boxes"], row["labels"], row["splits"]) == (2, {"a": 2, "b": 1}, {"": 1, "test": 1, "train": 1})


def test_unchanged_content_makes_no_version_and_changed_content_one(
    parts: Path, settings: Settings, pictures: Any
) -> None:
    first = took(parts, settings)
    assert took(parts, settings) == first
    (parts / "c").mkdir()
    (parts / "c/0.png").write_bytes(pictures.encode(9, kind=3))
    assert (took(parts, settings)["version"], api.show("parts@1", settings)) == (2, first)


def test_progress_is_told(parts: Path, settings: Settings) -> None:
    told: list[tuple[int, int]] = []
    api.import_([Source(path=parts)], settings, name="x", progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("name", ["", "a@1", "a/b", " a", ".a", "-a", "a:b", "a\n"])
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_read(
    name: str, parts: Path, settings: Settings
) -> None:
    with pytest.raises(ConfigError) as caught:
        took(parts, settings, name)
    assert caught.value.where == "--name"
    assert not settings.home.exists()


def test_a_folder_that_is_no_data_set_makes_none(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found an empty folder"):
        took(tmp_path / "empty", settings)
    assert api.list_datasets(settings) == []


def test_data_sets_are_listed_by_name_with_the_newest_version(parts: Path, settings: Settings) -> None:
    other = took(parts, settings, "other")
    took(parts, settings)
    (parts / "b/000.png").unlink()
    newest = took(parts, settings)
    assert api.list_datasets(settings) == [
        {"name": "other", "version": 1, "images": 6, "labels": 2, "digest": other["digest"]},
        {"name": "parts", "version": 2, "images": 5, "labels": 2, "digest": newest["digest"]},
    ]


def listed(parts: Path, settings: Settings, *lines: str) -> None:
    (parts / "list.csv").write_text("\n".join(["path,label,split,x1,y1,x2,y2", *lines]))
    took(parts / "list.csv", settings)


NOTHING: dict[str, Any] = {
    "labels_added": [], "labels_removed": [], "added": [], "removed": [], "relabelled": [], "reboxed": [],
    "moved_split": [],
}  # fmt: skip
BEFORE = ("a/000.png,x,train,,,,", "a/001.png,x,test,,,,", "a/002.png,x,,1,1,5,5")
DIFFS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "added": ((*BEFORE, "b/000.png,x,,,,,"), {"added": ["b/000.png"]}),
    "removed": (BEFORE[1:], {"removed": ["a/000.png"]}),
    "relabelled": (("a/000.png,y,train,,,,", *BEFORE[1:]), {"relabelled": ["a/000.png"], "labels_added": ["y"]}),
    "other boxes": ((*BEFORE[:2], "a/002.png,x,,1,1,5,6"), {"reboxed": ["a/002.png"]}),
    "another part": ((BEFORE[0], "a/001.png,x,train,,,,", BEFORE[2]), {"moved_split": ["a/001.png"]}),
    "all at once": (
        ("a/000.png,y,,,,,", "b/000.png,y,,,,,", "b/001.png,y,,,,,"),
        {"added": ["b/000.png", "b/001.png"], "removed": ["a/001.png", "a/002.png"], "relabelled": ["a/000.png"],
         "moved_split": ["a/000.png"], "labels_added": ["y"], "labels_removed": ["x"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFS)
def test_a_difference_is_told_by_kind(case: str, parts: Path, settings: Settings) -> None:
    lines, expected = DIFFS[case]
    listed(parts, settings, *BEFORE)
    listed(parts, settings, *lines)
    head = {"first": "parts@1", "second": "parts@2", "same": False}
    assert api.diff("parts@1", "parts", settings) == {**head, **NOTHING, **expected}


def test_the_same_content_under_other_names_is_the_same(parts: Path, settings: Settings, tmp_path: Path) -> None:
    took(parts, settings)
    for path in list(parts.rglob("*.png")):
        path.rename(path.with_stem(f"other {path.stem}"))
    took(parts, settings, "renamed")
    head = {"first": "parts@1", "second": "renamed@1", "same": True}
    assert api.diff("parts", "renamed", settings) == {**head, **NOTHING}


def test_copies_count_in_a_difference(parts: Path, settings: Settings) -> None:
    took(parts, settings)
    shutil.copy(parts / "a/000.png", parts / "a/copy.png")
    took(parts, settings)
    assert api.diff("parts@1", "parts@2", settings)["added"] == ["a/copy.png"]
    assert api.diff("parts@2", "parts@1", settings)["removed"] == ["a/copy.png"]


def test_what_is_not_there_is_named(parts: Path, settings: Settings, tmp_path: Path) -> None:
    took(parts, settings)
    for call in (
        lambda: api.show("part", settings), lambda: api.diff("parts", "part", settings),
        lambda: api.export("part", tmp_path / "out", "csv", settings),
    ):  # fmt: skip
        with pytest.raises(NotFoundError, match="no data set named 'part'"):
            call()
    assert not (tmp_path / "out").exists()


def test_a_data_set_is_written_out_and_taken_in_again(parts: Path, settings: Settings, tmp_path: Path) -> None:
    row = took(parts, settings)
    out = tmp_path / "out"
    assert api.export("parts", out, "coco", settings) == {
        "name": "parts", "version": 1, "format": "coco", "images": 6, "out": str(out),
    }  # fmt: skip
    assert took(out, settings, "again")["digest"] == row["digest"]
    assert {digest_bytes(path.read_bytes()) for path in out.rglob("*.png")} == {
        digest_bytes(path.read_bytes()) for path in parts.rglob("*.png")
    }
