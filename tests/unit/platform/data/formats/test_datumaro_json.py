from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from trunkline.core.errors import DataError, MissingExtraError
from trunkline.core.types.dataset import Dataset
from trunkline.platform.data.formats import parse
from trunkline.platform.data.formats.with_datumaro import write

LABELS = {"label": {"labels": [{"name": name, "parent": "", "attributes": []} for name in ("dent", "hole")]}}


def item(name: str, *marks: dict[str, Any], path: str | None = None) -> dict[str, Any]:
    made = [{"id": 0, "group": 0, "attributes": {}, "z_order": 0, **mark} for mark in marks]
    return {"id": name, "image": {"path": path or f"{name}.png"}, "annotations": made}


def datumaro(*items: dict[str, Any], categories: Any = LABELS) -> str:
    return json.dumps({"dm_format_version": "1.0", "infos": {}, "categories": categories, "items": items})


MARKS: dict[str, tuple[dict[str, Any], Any]] = {
    "a label": ({"type": "label", "label_id": 1}, (("hole",), [])),
    "a box": ({"type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4.5]}, ((), [("dent", 1.0, 2.0, 4.0, 6.5)])),
    "a polygon": ({"type": "polygon", "label_id": 0, "points": [1, 2, 5, 2, 5, 9]},
                  ((), [("dent", 1.0, 2.0, 5.0, 9.0)])),
    "a mask": ({"type": "mask", "label_id": 0, "rle": {"counts": "05", "size": [1, 5]}}, (("dent",), [])),
    "points": ({"type": "points", "label_id": 0, "points": [1, 2]}, (("dent",), [])),
    "a caption": ({"type": "caption", "caption": "a dent"}, ((), [])),
}  # fmt: skip


@pytest.mark.parametrize("case", MARKS)
def test_annotations_of_each_kind(case: str, make: Any, read: Any) -> None:
    mark, (labels, boxes) = MARKS[case]
    source = make({"images/train/1.png": None, "annotations/train.json": datumaro(item("1", mark))})
    assert read(source, "datumaro") == ({"images/train/1.png": (labels, boxes, "train")}, {})


LEFT: dict[str, tuple[dict[str, Any], str]] = {
    "a label without a name": ({"type": "label", "label_id": 7}, "unknown-label"),
    "a label below 0": ({"type": "label", "label_id": -1}, "unknown-label"),
    "no label": ({"type": "bbox", "bbox": [1, 2, 3, 4]}, "unknown-label"),
    "a kind that is none": ({"type": "smell", "label_id": 0}, "bad-annotation"),
    "three numbers": ({"type": "bbox", "label_id": 0, "bbox": [1, 2, 3]}, "bad-annotation"),
    "no area": ({"type": "bbox", "label_id": 0, "bbox": [1, 2, 0, 3]}, "bad-box"),
    "outside": ({"type": "bbox", "label_id": 0, "bbox": [48, 2, 9, 3]}, "bad-box"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT)
def test_annotations_that_cannot_be_used_are_listed(case: str, make: Any, read: Any) -> None:
    mark, kind = LEFT[case]
    source = make({"images/train/1.png": None, "annotations/train.json": datumaro(item("1", mark))})
    items, findings = read(source, "datumaro")
    assert items == {"images/train/1.png": ((), [], "train")}
    assert list(findings) == [kind]


def test_images_that_are_not_there_or_outside_are_listed(make: Any, read: Any) -> None:
    rows = [item("1"), item("gone"), item("x", path="../../../secret.png"), item("y", path="/etc/passwd"), {"id": "z"}]
    source = make({"images/default/1.png": None, "annotations/default.json": datumaro(*rows)})
    (source.parent / "secret.png").write_bytes(b"")
    items, findings = read(source, "datumaro")
    assert items == {"images/default/1.png": ((), [], "")}
    assert findings == {
        "missing-file": ["images/default/gone.png"],
        "outside-path": ["x", "y"],
        "bad-annotation": ["z"],
    }


def test_an_image_named_twice_is_one(make: Any, read: Any) -> None:
    rows = [item("1", {"type": "label", "label_id": number}) for number in (0, 1)]
    source = make({"images/train/1.png": None, "annotations/train.json": datumaro(*rows)})
    assert read(source, "datumaro") == ({"images/train/1.png": (("dent", "hole"), [], "train")}, {})


REFUSED = {
    "half a file": '{"dm_format_version": "1.0", "items": [', "another version": '{"dm_format_version": "9_9"}',
    "no items": '{"dm_format_version": "1.0", "categories": {}}', "NaN": datumaro().replace("[]", "NaN"),
    "labels that are none": datumaro(categories={"label": 3}),
    "items that are none": datumaro(3),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_datumaro_refuses_is_a_clear_error(case: str, make: Any) -> None:
    source = make({"images/1.png": None, "annotations/train.json": REFUSED[case]})
    with pytest.raises(DataError) as caught:
        parse(source, "datumaro")
    assert str(source) in str(caught.value.where)


def test_json_apart_from_annotations_says_what_to_name(make: Any) -> None:
    with pytest.raises(DataError, match="expected datumaro's JSON in annotations/, found none"):
        parse(make({"1.png": None, "train.json": datumaro(item("1"))}), "datumaro")


def test_a_file_too_large_is_not_read(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.platform.data.formats.datumaro_json._MAX_BYTES", 1)
    with pytest.raises(DataError, match="expected JSON of at most 0 MB"):
        parse(make({"images/1.png": None, "annotations/a.json": datumaro()}), "datumaro")


def test_datumaro_that_is_not_installed_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datumaro", None)
    with pytest.raises(MissingExtraError, match=r"'datumaro', which is not installed"):
        parse(make({"images/1.png": None, "annotations/a.json": datumaro()}), "datumaro")


def test_a_full_disk_is_not_hidden_in_datumaros_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import datumaro

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("export failed") from OSError(28, "No space left on device")

    monkeypatch.setattr(datumaro.Dataset, "export", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, "coco", Dataset("x", 1, ()), [])
