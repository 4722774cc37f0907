from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.errors import DataError
from trunkline.platform.data.formats import parse

IMAGES = [{"id": 1, "file_name": "1.png", "width": 48, "height": 48}, {"id": 2, "file_name": "2.png"}]
CATEGORIES = [{"id": 0, "name": "zero"}, {"id": 3, "name": "three"}, {"id": 90, "name": "ninety"}]


def coco(*annotations: dict[str, Any], images: Any = IMAGES, categories: Any = CATEGORIES) -> str:
    rows = [{"id": at, **annotation} for at, annotation in enumerate(annotations)]
    return json.dumps({"images": images, "annotations": rows, "categories": categories})


def of(image: Any, category: Any, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, **more}


BOX = [1, 2, 3, 4.5]
TAKEN: dict[str, tuple[dict[str, Any], Any]] = {
    "a box": (of(1, 3, bbox=BOX), ((), [("three", 1.0, 2.0, 4.0, 6.5)], "")),
    "category 0": (of(1, 0, bbox=BOX), ((), [("zero", 1.0, 2.0, 4.0, 6.5)], "")),
    "a crowd": (of(1, 90, bbox=BOX, iscrowd=1), ((), [("ninety", 1.0, 2.0, 4.0, 6.5)], "")),
    "a polygon": (of(1, 3, segmentation=[[1, 2, 5, 2, 5, 9], [0, 3, 1, 4, 2, 5]]),
                  ((), [("three", 0.0, 2.0, 5.0, 9.0)], "")),
    "a box over an edge": (of(1, 3, bbox=[-5, -5, 10, 100]), ((), [("three", -5.0, -5.0, 5.0, 95.0)], "")),
    "an image's label": (of(1, 3), (("three",), [], "")),
    "a mask alone": (of(1, 3, bbox=[], segmentation={"counts": "a", "size": [1, 1]}), (("three",), [], "")),
    "numbers as text": (of(1, 3, bbox=["1", "2", "3", "4.5"]), ((), [("three", 1.0, 2.0, 4.0, 6.5)], "")),
    "digits that nobody sees": (of(1, 3, bbox=[1.0049, 2, 3, 4]), ((), [("three", 1.0, 2.0, 4.0, 6.0)], "")),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_annotations_as_tools_write_them(case: str, make: Any, read: Any) -> None:
    annotation, expected = TAKEN[case]
    source = make({"1.png": None, "2.png": None, "a.json": coco(annotation)})
    assert read(source, "coco") == ({"1.png": expected, "2.png": ((), [], "")}, {})


def test_boxes_in_shares_are_told_and_converted(make: Any, read: Any) -> None:
    source = make({"1.png": None, "a.json": coco(of(1, 3, bbox=[0.25, 0.5, 0.5, 0.25]))})
    items, findings = read(source, "coco")
    assert items["1.png"] == ((), [("three", 12.0, 24.0, 36.0, 36.0)], "")
    assert findings["wrong-units"] == ["1.png"]


LEFT: dict[str, tuple[dict[str, Any], str, str]] = {
    "a category with no name": (of(1, 4, bbox=BOX), "unknown-label", "1.png"),
    "a category that is no number": (of(1, [[3]], bbox=BOX), "unknown-label", "1.png"),
    "an image that is not listed": (of(9, 3, bbox=BOX), "bad-annotation", "a.json"),
    "an image that is no number": (of({}, 3, bbox=BOX), "bad-annotation", "a.json"),
    "no area": (of(1, 3, bbox=[1, 2, 0, 4]), "bad-box", "1.png"),
    "less than no area": (of(1, 3, bbox=[1, 2, -3, 4]), "bad-box", "1.png"),
    "NaN": (of(1, 3, bbox=[1, 2, float("nan"), 4]), "bad-box", "1.png"),
    "infinite": (of(1, 3, bbox=[1, 2, float("inf"), 4]), "bad-box", "1.png"),
    "too few numbers": (of(1, 3, bbox=[1, 2]), "bad-box", "1.png"),
    "no numbers": (of(1, 3, bbox=[[1], {}, None, "x"]), "bad-box", "1.png"),
    "a number too long": (of(1, 3, bbox=[10**400, 2, 3, 4]), "bad-box", "1.png"),
    "a number of no picture": (of(1, 3, bbox=[1, 2, 1e300, 4]), "bad-box", "1.png"),
    "left of the image": (of(1, 3, bbox=[-9, 2, 3, 4]), "bad-box", "1.png"),
    "right of the image": (of(1, 3, bbox=[48, 2, 3, 4]), "bad-box", "1.png"),
    "below an image of unknown size": (of(2, 3, bbox=[1, 48.5, 3, 4]), "bad-box", "2.png"),
    "a polygon of NaN": (of(1, 3, segmentation=[[1, float("nan"), 5, 6]]), "bad-box", "1.png"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT)
def test_annotations_that_cannot_be_used_are_listed(case: str, make: Any, read: Any) -> None:
    annotation, kind, name = LEFT[case]
    source = make({"1.png": None, "2.png": None, "a.json": coco(annotation)})
    assert read(source, "coco") == ({"1.png": ((), [], ""), "2.png": ((), [], "")}, {kind: [name]})


def test_a_size_that_is_wrong_costs_no_box(make: Any, read: Any) -> None:
    images = [{"id": 1, "file_name": "1.png", "width": 20, "height": 10}]
    source = make({"1.png": None, "a.json": coco(of(1, 3, bbox=[30, 30, 10, 10]), images=images)})
    assert read(source, "coco") == ({"1.png": ((), [("three", 30.0, 30.0, 40.0, 40.0)], "")}, {})


def test_many_bad_boxes_are_one_finding(make: Any) -> None:
    rows = [of(1, 3, bbox=[1, 2, 0, 4])] * 1200
    (finding,) = parse(make({"1.png": None, "2.png": None, "a.json": coco(*rows)}), "coco").findings
    assert finding.message == (
        "1200 boxes are not finite, of no area or outside their image, and were left out: "
        "1.png (three: of no area: 1, 2, 1, 6)"
    )
    assert (len(finding.names), finding.detail["count"]) == (1000, 1200)


PLACES = {
    "beside the JSON": ("1.png", "a.json"), "in images/": ("images/1.png", "a.json"),
    "of one task": ("train2017/1.png", "annotations/instances_train2017.json"),
    "in a folder of the subset": ("images/train2017/1.png", "annotations/instances_train2017.json"),
    "Roboflow's": ("train/1.png", "train/_annotations.coco.json"),
    "in a folder around": ("parts/v1/images/1.png", "parts/v1/annotations/a.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLACES)
def test_images_are_found_where_tools_put_them(case: str, make: Any) -> None:
    image, file = PLACES[case]
    source = make({image: None, file: coco(images=IMAGES[:1])})
    assert [item.name for item in parse(source, "coco").items] == [image]


SPLITS = {
    "train2017 and val2017": ({"instances_train2017": "train2017/1.png", "instances_val2017": "val2017/2.png"},
                              {"train2017/1.png": "train", "val2017/2.png": "test"}),
    "train, val and test": ({"instances_train": "images/train/1.png", "instances_val": "images/val/2.png",
                             "instances_test": "images/test/3.png"},
                            {"images/train/1.png": "train", "images/val/2.png": "train", "images/test/3.png": "test"}),
    "none": ({"instances_default": "images/1.png"}, {"images/1.png": ""}),
}  # fmt: skip


@pytest.mark.parametrize("case", SPLITS)
def test_splits_are_those_of_the_files_names(case: str, make: Any) -> None:
    files, expected = SPLITS[case]
    texts = {
        f"annotations/{name}.json": coco(images=[{"id": 1, "file_name": Path(image).name}])
        for name, image in files.items()
    }
    parsed = parse(make({**texts, **dict.fromkeys(files.values())}), "coco")
    assert {item.name: item.split for item in parsed.items} == expected


def test_tasks_that_say_nothing_of_classes_are_passed_over(make: Any, read: Any) -> None:
    keypoints = coco(of(1, 1, bbox=[0, 0, 9, 9]), categories=[{"id": 1, "name": "person"}])
    files = {"instances_train": coco(of(1, 3, bbox=BOX)), "labels_train": coco(of(1, 0)),
             "person_keypoints_train": keypoints, "captions_train": coco()}  # fmt: skip
    source = make({"train/1.png": None, "train/2.png": None, **{f"annotations/{n}.json": t for n, t in files.items()}})
    assert read(source, "coco")[0]["train/1.png"] == (("zero",), [("three", 1.0, 2.0, 4.0, 6.5)], "train")


def test_an_image_named_twice_is_one(make: Any, read: Any) -> None:
    images = [*IMAGES, {"id": 3, "file_name": "./1.png"}]
    text = coco(of(1, 3, bbox=BOX), of(3, 3, bbox=BOX), of(3, 0, bbox=BOX), images=images)
    items, findings = read(make({"1.png": None, "2.png": None, "a.json": text}), "coco")
    assert items["1.png"] == ((), [("three", 1.0, 2.0, 4.0, 6.5), ("zero", 1.0, 2.0, 4.0, 6.5)], "")
    assert (len(items), findings) == (2, {})


def test_an_image_in_both_parts_is_learned_from_and_said(make: Any, read: Any) -> None:
    text = coco(images=IMAGES[:1])
    source = make({"images/1.png": None, "annotations/train.json": text, "annotations/test.json": text})
    assert read(source, "coco") == ({"images/1.png": ((), [], "train")}, {"split-conflict": ["images/1.png"]})


def test_files_that_are_not_listed_not_there_or_outside_are_said(make: Any, read: Any) -> None:
    names = ["1.png", "gone.png", "../x.png", "/etc/passwd", "a\\2.png", 5, "", "\ud800.png"]
    images = [{"id": at, "file_name": name} for at, name in enumerate(names)]
    source = make({"1.png": None, "a/2.png": None, "other.png": None, "a.json": coco(images=images)})
    items, findings = read(source, "coco")
    assert list(items) == ["1.png", "a/2.png"]
    assert findings == {
        "missing-file": ["gone.png", "?.png"], "outside-path": ["../x.png", "/etc/passwd"],
        "bad-annotation": ["a.json", "a.json"], "not-listed": ["other.png"],
    }  # fmt: skip


def test_labels_that_no_image_has_are_in_the_label_space(make: Any) -> None:
    odd = [{"id": 1, "name": " a "}, {"id": 1, "name": "b"}, {"name": "c"}, {"id": 2}, {"id": 3, "name": "\ud800"}]
    parsed = parse(make({"1.png": None, "2.png": None, "a.json": coco(categories=odd)}), "coco")
    assert parsed.label_space == ("a",)
    assert [(f.kind, f.detail["count"]) for f in parsed.findings] == [("bad-annotation", 3)]


REFUSED = {
    "a list": ("[]", "expected COCO's JSON with a list 'images', got list"),
    "no annotations": ('{"images": [], "categories": []}', "with a list 'annotations', got NoneType"),
    "images that are no list": ('{"images": {}, "categories": [], "annotations": []}', "a list 'images', got dict"),
    "half a file": ('{"images": [', "not JSON"),
    "nested too deep": ('{"images": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deep"),
    "a number of a million digits": ('{"images": ' + "1" * 1_000_000 + "}", "numbers of at most 4,300 digits"),
    "not UTF-8": (b'{"images": "\xff\xfe"}', "not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_coco_is_a_clear_error(case: str, make: Any) -> None:
    text, message = REFUSED[case]
    source = make({"1.png": None, "a.json": text}) / "a.json"
    with pytest.raises(DataError, match=message) as caught:
        parse(source, "coco")
    assert str(caught.value.where).startswith(str(source))


def test_a_file_too_large_is_not_read(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.platform.data.formats.coco._MAX_BYTES", 1 << 20)
    source = make({"1.png": None, "a.json": coco() + " " * (2 << 20)})
    with pytest.raises(DataError, match="expected a JSON file of at most 1 MB, got 2 MB"):
        parse(source / "a.json", "coco")


def test_a_json_apart_from_its_images_says_what_to_name(make: Any) -> None:
    source = make({"images/1.png": None, "images/2.png": None, "annotations/a.json": coco()})
    with pytest.raises(DataError, match=r"found none: 2 named files are not there: 1.png") as caught:
        parse(source / "annotations/a.json")
    assert "name the folder that holds both the images and their labels" in str(caught.value.fix)
