from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.errors import DataError, NotFoundError
from trunkline.core.plugins import Table
from trunkline.platform.data import formats
from trunkline.platform.data.formats import detect, parse

Files = Mapping[str, str | bytes | None]
COCO = '{"info": {"year": 2024}, "images": [], "annotations": [], "categories": []}'
TOLD: dict[str, tuple[str, Files]] = {
    "a flat folder of images": ("imagefolder", {"1.png": None, "2.JPG": None}),
    "classes": ("imagefolder", {"a/1.png": None, "b/2.png": None, "README.md": "x"}),
    "classes and what samples write beside them": (
        "imagefolder", {"a/1.png": None, "about.json": '{"images": {"a": 1}}'},
    ),
    "a deep folder": ("imagefolder", {"a/b/c/d/e/1.png": None}),
    "splits of two classes": ("imagefolder", {"train/a/1.png": None, "train/b/1.png": None, "test/a/1.png": None}),
    "only good to learn from": ("mvtec", {"train/good/1.png": None, "test/good/1.png": None, "test/x/1.png": None}),
    "NEU-DET's folders": ("voc", {"images/1.jpg": None, "annotations/1.xml": "<annotation/>"}),
    "XML beside the images": ("voc", {"1.jpg": None, "1.xml": "<annotation/>"}),
    "XML beside the images of a split": ("voc", {"train/1.jpg": None, "train/1.xml": "<annotation/>"}),
    "VOC as the challenge ships it": ("voc", {
        "VOCdevkit/VOC2012/JPEGImages/1.jpg": None, "VOCdevkit/VOC2012/Annotations/1.xml": "<annotation/>",
    }),
    "JSON beside the images": ("coco", {"1.png": None, "anything.json": COCO}),
    "JSON in the folder of a split": ("coco", {"valid/1.png": None, "valid/_annotations.coco.json": COCO}),
    "JSON that begins with annotations": ("coco", {"1.png": None, "a.json": '{"annotations": [{"image_id": 1'}),
    "JSON with a BOM": ("coco", {"1.png": None, "a.json": "\ufeff" + COCO}),
    "datumaro's JSON": ("datumaro", {
        "annotations/default.json": '{"dm_format_version": "1.0", "items": [{"annotations": []}]}',
        "images/1.png": None,
    }),
    "older JSON of datumaro": ("datumaro", {
        "annotations/a.json": '{"info": {}, "categories": {"label": {}}, "items": []}', "images/1.png": None,
    }),
    "YAML with names": ("yolo", {"data.yaml": "nc: 1\nnames: [a]\n", "train/images/1.png": None}),
    "labels without YAML": ("yolo", {"images/1.png": None, "labels/1.txt": "0 1 1 1 1"}),
    "labels in splits without YAML": ("yolo", {"train/images/1.png": None, "train/labels/1.txt": "0 1 1 1 1"}),
    "a scenario is not YOLO's YAML": ("imagefolder", {"a/1.png": None, "scenario.yaml": "name: x\ntask: classify\n"}),
    "a list": ("csv", {"list.csv": "Image;Class\n1.png;a\n", "images/1.png": None}),
    "a list beside the folders of its splits": (
        "csv", {"l.csv": "path,label\n", "train/1.png": None, "test/1.png": None},
    ),
    "a table that is no list": ("imagefolder", {"a/1.png": None, "b/1.png": None, "sizes.csv": "id,width\n1,2\n"}),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_a_layout_is_told_from_its_folders(case: str, make: Any) -> None:
    layout, files = TOLD[case]
    assert detect(make(files)) == layout


FILES = {"a.csv": "csv", "a.TSV": "csv", "coco.json": "coco", "data.yaml": "yolo"}
TEXTS = {"a.csv": "path,label\n", "a.TSV": "path\tlabel\n", "coco.json": COCO, "data.yaml": "names: [a]\n"}


@pytest.mark.parametrize("name", FILES)
def test_a_single_file_is_told_as_well(name: str, make: Any) -> None:
    assert detect(make({name: TEXTS[name]}) / name) == FILES[name]


REFUSED: dict[str, tuple[str, Files, str]] = {
    "nothing": ("", {}, "found an empty folder"),
    "no image": ("", {"a/x.doc": "x", "b/y.doc": "x", "z.pdf": "x", "Makefile": "x"},
                 "found 2 folders (a, b) and 2 files (.pdf, no ending), and no image"),
    "hidden images": ("", {".cache/1.png": None, "a/.2.png": None}, "found 1 folder (a), and no image"),
    "an archive": ("x.zip", {"x.zip": b"PK"}, "found a single file (.zip)"),
    "an image": ("x.png", {"x.png": None}, "found a single file (.png)"),
    "nothing there": ("gone", {}, "there is nothing here"),
    "two layouts": ("", {"1.png": None, "1.xml": "<annotation/>", "data.yaml": "names: [a]\n"},
                    "more than one layout fits: voc (beside the images: .xml files); yolo (data.yaml)"),
    "a list beside classes": ("", {"a/1.png": None, "b/1.png": None, "l.csv": "path,label\n"},
                              "more than one layout fits: csv (l.csv), imagefolder (a, b)"),
    "categories of MVTec": ("", {f"{name}/{part}/good/1.png": None
                                 for name in ("cable", "tile") for part in ("train", "test")},
                            "expected one category of MVTec AD, found 2 (cable, tile)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_is_said_with_what_was_found(case: str, make: Any) -> None:
    name, files, message = REFUSED[case]
    source = make(files) / name
    with pytest.raises(DataError) as caught:
        detect(source)
    assert message in caught.value.message
    assert (caught.value.where, bool(caught.value.fix)) == (str(source), True)


def test_the_layouts_known_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(coco, csv, datumaro, imagefolder, mvtec, voc, yolo\)"):
        detect(tmp_path)


def test_an_unknown_name_is_answered_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'imagefolder'"):
        parse(tmp_path, "imagefolders")


def test_a_layout_that_does_not_load_is_told_of_and_costs_no_other(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("format", {**formats.FORMATS.targets, "theirs": "no.such.package:Format"})
    monkeypatch.setattr(formats, "FORMATS", table)
    assert detect(make({"a/1.png": None})) == "imagefolder"
    (make({}) / "a/1.png").unlink()
    with pytest.raises(DataError, match=r"format 'theirs' \(no.such.package:Format\) failed: ModuleNotFoundError"):
        detect(make({}))


def test_a_folder_that_may_not_be_read_is_a_clear_error(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make({"a/1.png": None})

    def denied(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        detect(source)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        parse(source, "imagefolder")


def test_telling_neu_det_reads_no_label(neu_det: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.platform.data.formats.voc._root", None)
    assert detect(neu_det) == "voc"


def test_neu_det_is_read_whole(neu_det: Path) -> None:
    parsed = parse(neu_det)
    assert (parsed.format, len(parsed.items), parsed.findings) == ("voc", 1800, ())
    assert sum(len(item.boxes) for item in parsed.items) == 4186
    assert parsed.label_space == ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
