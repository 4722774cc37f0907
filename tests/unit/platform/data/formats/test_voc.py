from __future__ import annotations

from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.platform.data.formats import parse
from trunkline.platform.data.formats.voc import Voc


def bounds(x1: Any = 1, y1: Any = 2, x2: Any = 30.5, y2: Any = 40) -> str:
    return f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"


def thing(name: str = "dent", inside: str | None = None) -> str:
    return f"<object><name>{name}</name>{bounds() if inside is None else inside}</object>"


def xml(*inside: str, filename: str = "", size: str = "") -> str:
    name = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation>{name}{size}{''.join(inside)}</annotation>"


DENT = ("dent", 1.0, 2.0, 30.5, 40.0)
POLYGON = "<polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>2</y2><x3>5</x3><y3>7</y3></polygon>"
TAKEN: dict[str, tuple[str, list[tuple[str, float, float, float, float]]]] = {
    "a box": (xml(thing()), [DENT]),
    "flags are ignored": (
        xml(thing(inside=f"<difficult>Unspecified</difficult><truncated>1</truncated>{bounds()}")), [DENT],
    ),
    "no object": (xml(), []),
    "a polygon": (xml(thing(inside=POLYGON)), [("dent", 1.0, 2.0, 9.0, 7.0)]),
    "a polygon beside its box": (xml(thing(inside=bounds() + POLYGON)), [DENT]),
    "a size of 0": (xml(thing(), size="<size><width>0</width><height>0</height></size>"), [DENT]),
    "a size that is wrong": (xml(thing(), size="<size><width>1</width><height>1</height></size>"), [DENT]),
    "spaces": (xml(thing("\n dent\t", bounds(" 1 ", "2.0", "\n30.5", 40))), [DENT]),
    "another script": (xml(thing("裂纹")), [("裂纹", *DENT[1:])]),
    "a document with a declaration": ('<?xml version="1.0" encoding="utf-8"?>\n' + xml(thing()), [DENT]),
    "a name of another file": (xml(thing(), filename="renamed.jpg"), [DENT]),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_annotations_as_tools_write_them(case: str, make: Any, read: Any) -> None:
    text, boxes = TAKEN[case]
    source = make({"images/1.png": None, "images/2.png": None, "annotations/1.xml": text})
    assert read(source, "voc") == ({"images/1.png": ((), boxes, ""), "images/2.png": ((), [], "")}, {})


LEFT = {
    "no name": (xml(thing("")), "bad-annotation"), "no box": (xml(thing(inside="")), "bad-annotation"),
    "swapped": (xml(thing(inside=bounds(9, 2, 1, 4))), "bad-box"), "words": (xml(thing(inside=bounds("a"))), "bad-box"),
    "NaN": (xml(thing(inside=bounds("nan"))), "bad-box"),
    "an edge is missing": (xml(thing(inside=bounds(""))), "bad-box"),
    "outside": (xml(thing(inside=bounds(48, 2, 60, 9))), "bad-box"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT)
def test_objects_that_cannot_be_used_are_listed_and_the_rest_is_kept(case: str, make: Any, read: Any) -> None:
    text, kind = LEFT[case]
    source = make({"1.png": None, "1.xml": text.replace("</annotation>", f"{thing()}</annotation>")})
    assert read(source, "voc") == ({"1.png": ((), [DENT], "")}, {kind: ["1.png"]})


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + xml(thing("&b;"))
UNREAD = {
    "half a file": "<annotation><object>", "another document": "<html/>", "no bytes": "", "entities": BOMB,
    "entities in UTF-16": BOMB.encode("utf-16"),
    "a file of the system": BOMB.replace('"ha"', 'SYSTEM "file:///etc/passwd"'),
    "an encoding that is none": '<?xml version="1.0" encoding="klingon"?><annotation/>', "bytes": b"\x89PNG\xff\xfe\0",
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD)
def test_an_image_whose_labels_cannot_be_read_is_left_out(case: str, make: Any, read: Any) -> None:
    source = make({"1.png": None, "2.png": None, "1.xml": UNREAD[case]})
    assert read(source, "voc") == ({"2.png": ((), [], "")}, {"unread-labels": ["1.xml"]})


PAIRS = {
    "beside": (["1.JPG", "1.xml"], "1.JPG", "1.xml"),
    "capitals count": (["a.png", "A.png", "A.xml"], "A.png", "A.xml"),
    "dots": (["a.b.png", "a.png", "a.b.xml"], "a.b.png", "a.b.xml"),
    "the same folder": (["train/1.png", "test/1.png", "test/1.xml"], "test/1.png", "test/1.xml"),
    "the folder of the same name": (["images/x/1.png", "images/y/1.png", "annotations/y/1.xml"], "images/y/1.png",
                                    "annotations/y/1.xml"),
    "an annotation in another place": (["pictures/1.png", "annotations/xmls/1.xml"], "pictures/1.png",
                                       "annotations/xmls/1.xml"),
    "by its filename": (["1.png", "labels/first.xml"], "1.png", "labels/first.xml"),
    "by its filename among two": (["1.jpg", "1.png", "1.xml"], "1.png", "1.xml"),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_an_xml_finds_its_image(case: str, make: Any, read: Any) -> None:
    files, image, annotation = PAIRS[case]
    source = make({**dict.fromkeys(files), annotation: xml(thing(), filename="C:\\data\\1.png")})
    assert [name for name, (_, boxes, _) in read(source, "voc")[0].items() if boxes] == [image]


def test_an_xml_without_an_image_or_with_two_is_listed(make: Any, read: Any) -> None:
    source = make({"1.png": None, "1.jpg": None, "1.xml": xml(), "2.xml": xml(thing(), filename="../../etc/passwd")})
    items, findings = read(source, "voc")
    assert (sorted(items), findings) == (["1.jpg", "1.png"], {"missing-file": ["1", "2"]})


def test_masks_are_not_images(make: Any, read: Any) -> None:
    voc = {"V/JPEGImages/1.jpg": None, "V/SegmentationClass/1.png": None, "V/Annotations/1.xml": xml(thing())}
    assert list(read(make(voc), "voc")[0]) == ["V/JPEGImages/1.jpg"]


def test_masks_beside_the_annotations_are_not_images(make: Any, read: Any) -> None:
    source = make({"images/1.jpg": None, "annotations/trimaps/1.png": None, "annotations/xmls/1.xml": xml(thing())})
    assert read(source, "voc")[0] == {"images/1.jpg": ((), [DENT], "")}


SPLITS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "lists": ({"V/ImageSets/Main/train.txt": "1\n3 1\n", "V/ImageSets/Main/val.txt": "2\r\n",
               "V/ImageSets/Main/cat_test.txt": "1 -1\n"}, {"1": "train", "2": "test", "3": ""}),
    "three lists": ({"V/ImageSets/Main/trainval.txt": "1\n", "V/ImageSets/Main/val.txt": "3\n",
                     "V/ImageSets/Main/test.txt": "2\n"}, {"1": "train", "2": "test", "3": "train"}),
    "names that are not there": ({"V/ImageSets/Main/test.txt": "../../x\n/etc/passwd\n\n"},
                                 {"1": "", "2": "", "3": ""}),
}  # fmt: skip


@pytest.mark.parametrize("case", SPLITS)
def test_splits_are_those_of_the_lists(case: str, make: Any, read: Any) -> None:
    lists, expected = SPLITS[case]
    images = dict.fromkeys([f"V/JPEGImages/{stem}.jpg" for stem in "123"])
    items, findings = read(make({**images, "V/Annotations/1.xml": xml(), **lists}), "voc")
    assert ({name[-5]: split for name, (_, _, split) in items.items()}, findings) == (expected, {})


def test_splits_are_those_of_the_folders_where_there_is_no_list(make: Any, read: Any) -> None:
    source = make({"train/1.jpg": None, "train/1.xml": xml(), "valid/2.jpg": None, "valid/2.xml": xml()})
    assert {name: split for name, (_, _, split) in read(source, "voc")[0].items()} == {
        "train/1.jpg": "train", "valid/2.jpg": "test",
    }  # fmt: skip


def test_an_xml_too_large_is_not_read(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.platform.data.formats.voc._MAX_BYTES", 1 << 20)
    parsed = parse(make({"1.png": None, "2.png": None, "1.xml": " " * (2 << 20) + xml()}), "voc")
    assert "expected an XML file of at most 1 MB, got 2 MB" in parsed.findings[0].message


def test_what_is_written_is_pascal_voc(tmp_path: Any) -> None:
    sample = Sample("a" * 64, "1.png", (), (Box("a<b", 1.0, 2.25, 3.0, 4.0),), "train", 48, 32)
    dataset = Dataset("x", 1, (sample,), ("a<b",))
    Voc().annotate(tmp_path, dataset, [Voc().place("train", (), "sub/1.png")])
    root = fromstring((tmp_path / "Annotations/sub/1.xml").read_text())
    fields = ("filename", "size/width", "size/height", "object/name", "object/difficult", "object/bndbox/xmin",
              "object/bndbox/ymin", "object/bndbox/xmax", "object/bndbox/ymax")  # fmt: skip
    assert [root.findtext(field) for field in fields] == ["1.png", "48", "32", "a<b", "0", "1", "2.25", "3", "4"]
    assert (tmp_path / "ImageSets/Main/train.txt").read_text() == "sub/1\n"


def test_a_label_that_xml_cannot_hold_is_known() -> None:
    sample = Sample("a" * 64, "1.png", (), (Box("bell\a", 0, 0, 1, 1),))
    assert Voc().lacks(Dataset("x", 1, (sample,), ("bell\a",))) == "labels that XML cannot hold ('bell\\x07')"
